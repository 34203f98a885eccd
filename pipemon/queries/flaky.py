"""Jobs that failed and succeeded on the same commit, and failures that are no job's fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.stats import rate, wilson
from pipemon.domain.runs import FAILED
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Condition, Query, Scope, where
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs, workflows
from pipemon.store.schema_failures import failures

MOST_JOBS = 100
MOST_COMMITS = 5
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
_BY_ITS_LOG: Condition = sa.exists().where(failures.c.job_id == jobs.c.id, failures.c.platform)
OF_PLATFORM: Condition = sa.and_(jobs.c.conclusion.in_(sorted(FAILED)), sa.or_(_WITHOUT_ITS_FAULT, _BY_ITS_LOG))
HAS_SUCCEEDED: Condition = jobs.c.conclusion == "success"
HAS_FAILED: Condition = sa.and_(jobs.c.conclusion.in_(sorted(FAILED)), sa.not_(OF_PLATFORM))


@dataclass(frozen=True, slots=True)
class FlakyCommit:
    """A commit on which a job failed and succeeded, with the newest run of each."""

    sha: str
    failed_in: int
    succeeded_in: int


@dataclass(frozen=True, slots=True)
class FlakyJob:
    """A job by its name, with its matrix leg. `n` commits have a decisive result, on `flaky` of them both."""

    repository: str
    workflow_id: int
    workflow: str
    name: str
    n: int
    flaky: int
    platform: int
    commits: tuple[FlakyCommit, ...]
    scope: Scope

    @property
    def flake_rate(self) -> float:
        """The percentage of the commits."""
        return rate(self.flaky, self.n)

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the rate lies, in percent, at 95 %."""
        return wilson(self.flaky, self.n)

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.interval[1]


@dataclass(frozen=True, slots=True)
class Flakiness:
    """What `/analytics/flaky` tells; the surest first."""

    basis: Basis
    jobs: tuple[FlakyJob, ...]
    flaky: int
    platform: int
    as_of: AsOf

    @property
    def flake_rate(self) -> float:
        """The percentage over all jobs and commits."""
        return rate(self.flaky, self.basis.n)


def flakiness(db: Database, window: Window, most: int = MOST_JOBS) -> Flakiness:
    """Return the jobs of the window's runs that are flaky, and those that the platform failed."""
    rows = [(*row[:3], *map(int, row[3:])) for row in db.heavy(_by_job(window.scope))]
    platform = sum(row[5] for row in rows)
    ranked = sorted((row for row in rows if row[4] or row[5]), key=_surest)[:most]
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    commits = _commits(db, window.scope, [row for row in ranked if row[4]])
    found = tuple(
        FlakyJob(
            window.scope.repositories[repository_id], workflow_id, names.get(workflow_id, str(workflow_id)), name,
            n, flaky, of_platform, tuple(commits.get((workflow_id, name), ())[:MOST_COMMITS]),
            replace(window.scope, workflow=str(workflow_id), job=name),
        )
        for repository_id, workflow_id, name, n, flaky, of_platform in ranked
    )  # fmt: skip
    excluded = (Exclusion("platform", platform),) if platform else ()
    n, flaky = sum(row[3] for row in rows), sum(row[4] for row in rows)
    return Flakiness(Basis(window, n, excluded, coverage(db, window)), found, flaky, platform, window.as_of)


def _surest(row: Sequence[Any]) -> tuple[Any, ...]:
    _, workflow_id, name, n, flaky, platform = row
    return -wilson(flaky, n)[0] if n else 0.0, -flaky, -platform, name, workflow_id


def _by_commit(scope: Scope) -> Query:
    """Select, per job and commit, whether it succeeded and failed, and how often the platform failed it."""
    keys = (runs.c.repository_id, runs.c.workflow_id, jobs.c.name, runs.c.sha)
    query: Query = (
        sa.select(*keys)
        .add_columns(
            sa.func.max(sa.case((HAS_SUCCEEDED, 1), else_=0)).label("good"),
            sa.func.max(sa.case((HAS_FAILED, 1), else_=0)).label("bad"),
            sa.func.sum(sa.case((OF_PLATFORM, 1), else_=0)).label("platform"),
        )
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .where(jobs.c.conclusion.in_(["success", *sorted(FAILED)]), runs.c.sha.is_not(None), *where(scope))
        .group_by(*keys)
    )
    return query


def _by_job(scope: Scope) -> Query:
    one = _by_commit(scope).subquery("one")
    keys = (one.c.repository_id, one.c.workflow_id, one.c.name)
    decisive = sa.func.sum(sa.case((one.c.good + one.c.bad > 0, 1), else_=0))
    flaky = sa.func.sum(one.c.good * one.c.bad)
    return sa.select(*keys, decisive, flaky, sa.func.sum(one.c.platform)).group_by(*keys)


def _commits(db: Database, scope: Scope, rows: Sequence[Sequence[Any]]) -> dict[tuple[int, str], list[FlakyCommit]]:
    """Return the flaky commits of these jobs, newest first."""
    found: dict[tuple[int, str], list[FlakyCommit]] = {}
    if not rows:
        return found
    failed = sa.func.max(sa.case((HAS_FAILED, runs.c.id)))
    succeeded = sa.func.max(sa.case((HAS_SUCCEEDED, runs.c.id)))
    names = sorted({row[2] for row in rows})
    ids = sorted({row[1] for row in rows})
    query: Query = (
        sa.select(runs.c.workflow_id, jobs.c.name, runs.c.sha, failed, succeeded)
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .where(jobs.c.name.in_(names), runs.c.workflow_id.in_(ids), runs.c.sha.is_not(None), *where(scope))
        .group_by(runs.c.workflow_id, jobs.c.name, runs.c.sha)
        .having(sa.and_(failed.is_not(None), succeeded.is_not(None)))
        .order_by(sa.func.max(runs.c.created_at).desc(), runs.c.sha)
    )
    for workflow_id, name, sha, failed_in, succeeded_in in db.heavy(query):
        found.setdefault((workflow_id, name), []).append(FlakyCommit(sha, failed_in, succeeded_in))
    return found
