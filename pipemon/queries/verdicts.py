"""What a job's row says of it: how it ended and by whose fault, whether it is billed, and what it was for."""

import sqlalchemy as sa

from pipemon.domain.runs import FAILED, STAMP_SLACK_SECONDS
from pipemon.queries.scope import Condition
from pipemon.store.schema import jobs, runs
from pipemon.store.schema_failures import failures

# How a job ended: anything else; success; failure by its own fault, and by the platform's.
OTHER, GOOD, BAD, PLATFORM = range(4)
# In the place of a wait in seconds.
NOT_COUNTED, UNKNOWN, COPIED = -1, -2, -3
# What a job was for; the place is its code.
PURPOSES = ("useful", "failed", "superseded", "cancelled", "rerun")

# GitHub's own steps: who fails there has met the platform.
SET_UP = ("Set up job", "Set up runner", "Initialize containers")


def _says(text: str) -> Condition:
    """Return the condition that the stored steps hold this piece of JSON; in a step's name its quotes are escaped."""
    return jobs.c.steps.contains(text, autoescape=True)


_A_STEP_FAILED = sa.or_(*(_says(f'"completed","{end}",') for end in sorted(FAILED)))
_SET_UP_FAILED = sa.or_(*(_says(f'"{name}","completed","{end}",') for name in SET_UP for end in sorted(FAILED)))
_NO_STEPS_KNOWN: Condition = sa.and_(jobs.c.steps == "[]", sa.func.coalesce(jobs.c.runner_name, "") != "")

# A job that failed without a failed step of its own: its runner was lost, never came, or could not be set up.
_WITHOUT_ITS_FAULT: Condition = sa.and_(
    jobs.c.conclusion == "failure", sa.not_(_NO_STEPS_KNOWN), sa.or_(sa.not_(_A_STEP_FAILED), _SET_UP_FAILED)
)
# What its log says: the disk is full, a limit is reached, the machine was taken away.
# A scalar, looked up for each job that failed: of an EXISTS PostgreSQL would rather read all failures there are.
_BY_ITS_LOG: Condition = (
    sa.select(sa.func.max(sa.case((failures.c.platform, 1), else_=0))).where(failures.c.job_id == jobs.c.id)
).scalar_subquery() == 1


def outcome() -> sa.ColumnElement[int]:
    """Return how the job ended, as one of OTHER, GOOD, BAD and PLATFORM."""
    of_platform = sa.or_(_WITHOUT_ITS_FAULT, _BY_ITS_LOG)
    failed = jobs.c.conclusion.in_(sorted(FAILED))
    return sa.case(
        (jobs.c.conclusion == "success", GOOD), (sa.and_(failed, of_platform), PLATFORM), (failed, BAD), else_=OTHER
    )


def _has_begun() -> Condition:
    # One that still waits carries the moment of its creation as its start.
    begun = jobs.c.status.in_(["in_progress", "completed"])
    nothing = sa.and_(sa.func.coalesce(jobs.c.conclusion, "") == "cancelled", jobs.c.steps == "[]")
    return sa.and_(begun, sa.func.coalesce(jobs.c.conclusion, "") != "skipped", sa.not_(nothing))


def _ran(of: sa.FromClause = jobs) -> tuple[Condition, ...]:
    """Return the conditions that a job ran in its attempt: a rerun copies those that passed, with their old times."""
    conclusion = sa.func.coalesce(of.c.conclusion, "")
    own = sa.or_(of.c.created_at.is_(None), of.c.started_at >= of.c.created_at - STAMP_SLACK_SECONDS)
    nothing = sa.and_(conclusion == "cancelled", of.c.steps == "[]")
    return of.c.started_at.is_not(None), conclusion != "skipped", own, sa.not_(nothing)


HAS_BEGUN = _has_begun()
IS_BILLED: Condition = sa.and_(jobs.c.status == "completed", jobs.c.completed_at - jobs.c.started_at >= 0, *_ran())


def purpose() -> sa.ColumnElement[int]:
    """Return what the job was for, as its place in PURPOSES."""
    newer, again = runs.alias("newer"), jobs.alias("again")
    superseded = sa.exists().where(
        newer.c.workflow_id == runs.c.workflow_id,
        # A higher number is no earlier run. By the time alone, and so the sum of texts: else all of a branch's past, or
        # all that came later, would be looked through.
        newer.c.branch.concat("") == runs.c.branch,
        newer.c.created_at >= runs.c.created_at,
        newer.c.created_at <= sa.func.coalesce(runs.c.completed_at, runs.c.updated_at),
        newer.c.event == runs.c.event,
        sa.func.coalesce(newer.c.head_repository, "") == sa.func.coalesce(runs.c.head_repository, ""),
        newer.c.run_number > runs.c.run_number,
        newer.c.deleted_at.is_(None),
    )
    ran_again = sa.exists().where(
        again.c.run_id == jobs.c.run_id,
        again.c.run_attempt > jobs.c.run_attempt,
        again.c.name == jobs.c.name,
        *_ran(again),
    )
    of_cancelled = runs.c.conclusion == "cancelled"
    place = PURPOSES.index
    return sa.case(
        (jobs.c.conclusion.in_(sorted(FAILED)), place("failed")),
        (sa.and_(of_cancelled, superseded), place("superseded")),
        (sa.or_(of_cancelled, jobs.c.conclusion == "cancelled"), place("cancelled")),
        (sa.and_(jobs.c.run_attempt < runs.c.run_attempt, ran_again), place("rerun")),
        else_=place("useful"),
    )
