"""Why jobs failed: what of their logs is still to be read, and what was found in them."""

import json
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.logs import StepSpan, spans_of
from pipemon.domain.runs import FAILED, Job
from pipemon.domain.signatures import Said, Signature
from pipemon.store import days
from pipemon.store.events import bump_revision
from pipemon.store.rows import job_from_row
from pipemon.store.schema import jobs, repositories, runs
from pipemon.store.schema_failures import failures, green_logs
from pipemon.store.upsert import upsert

# Logs of what failed longer ago are not asked for: each costs a call.
HISTORY_SECONDS = 7 * 86400
# A matrix of which all jobs fail fails for one reason, or a few.
MOST_OF_A_RUN = 20
# So many logs of one successful job are remembered, the newest.
MOST_GREEN = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A failed job of which the log is to be read. `repository` is its name on GitHub now; `steps` are those that ran.

    `failing` is the number of the first step that did not succeed, None where that is not known.
    """

    job_id: int
    run_id: int
    repository_id: int
    repository: str
    workflow_id: int
    name: str
    completed_at: int
    tries: int
    steps: tuple[StepSpan, ...]
    failing: int | None


@dataclass(frozen=True, slots=True)
class Explained:
    """What a failed job's log says. `lines` carry no secrets."""

    signature: Signature
    step: StepSpan | None
    lines: Sequence[Said]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run failed: the job, its step, the line of its log, and how many other jobs failed."""

    job: str
    step: str | None
    title: str | None
    others: int


def want(conn: Connection, repository_id: int, failed: Iterable[Job], now: int) -> None:
    """Note that the logs of these failed jobs are to be read; those that were noted before stay as they are."""
    recent = {
        job.id: job for job in failed if job.completed_at is not None and job.completed_at > now - HISTORY_SECONDS
    }
    if not recent:
        return
    of_runs = sa.select(failures.c.job_id, failures.c.run_id).where(
        failures.c.run_id.in_({job.run_id for job in recent.values()})
    )
    noted: dict[int, set[int]] = {}
    for job_id, run_id in conn.execute(of_runs):
        noted.setdefault(run_id, set()).add(job_id)
    rows = []
    for job in recent.values():
        of_run = noted.setdefault(job.run_id, set())
        if job.id not in of_run:
            rows.append(_row(job, repository_id, "wanted" if len(of_run) < MOST_OF_A_RUN else "left_out", now))
            of_run.add(job.id)
    if rows:
        conn.execute(sa.insert(failures), rows)


def _row(job: Job, repository_id: int, state: str, now: int) -> dict[str, object]:
    return {
        "job_id": job.id,
        "run_id": job.run_id,
        "repository_id": repository_id,
        "completed_at": job.completed_at,
        "state": state,
        "due_at": now,
        "tries": 0,
        "platform": False,
        "lines": "[]",
    }


def list_wanted(conn: Connection, now: float, limit: int) -> list[Wanted]:
    """Return the failed jobs of which the logs are to be read now, the newest first."""
    name = sa.func.coalesce(repositories.c.current_name, repositories.c.name).label("repository")
    query = (
        sa.select(jobs, name, runs.c.workflow_id, failures.c.tries)
        .join_from(failures, jobs, jobs.c.id == failures.c.job_id)
        .join(runs, runs.c.id == failures.c.run_id)
        .join(repositories, repositories.c.id == failures.c.repository_id)
        .where(sa.text("failures.state = 'wanted'"), failures.c.due_at <= now, repositories.c.watched)
        .order_by(failures.c.completed_at.desc())
        .limit(limit)
    )
    return [_wanted(row) for row in conn.execute(query)]


def _wanted(row: sa.Row[tuple[object, ...]]) -> Wanted:
    job = job_from_row(row)
    ran = [step for step in job.steps if step.conclusion != "skipped" and step.started_at is not None]
    spans = spans_of(job.steps)
    # A job that ran out of time has a step that was cancelled.
    bad = [step.number for step in ran if step.conclusion in FAILED] or [
        step.number for step in ran if step.conclusion == "cancelled"
    ]
    values = row._mapping
    return Wanted(
        job.id,
        job.run_id,
        values["repository_id"],
        values["repository"],
        values["workflow_id"],
        job.name,
        job.completed_at or 0,
        values["tries"],
        spans,
        bad[0] if bad else None,
    )


def explain(conn: Connection, job_id: int, found: Explained) -> None:
    """Store what the job's log says."""
    lines = [[line.number, line.timestamp, line.level, line.message] for line in found.lines]
    values = {
        "state": "read",
        "step": found.step.name if found.step else None,
        "step_number": found.step.number if found.step else None,
        "signature": found.signature.id,
        "title": found.signature.title,
        "platform": found.signature.platform,
        "lines": json.dumps(lines, separators=(",", ":")),
    }
    _settle(conn, job_id, values)


def why(conn: Connection, run_id: int, run_attempt: int, job_id: int | None = None) -> Why | None:
    """Return why an attempt failed: what the log of the job says that failed first, or that of the job asked for.

    None where none is known.
    """
    query = (
        sa.select(jobs.c.name, failures.c.step, failures.c.title)
        .join_from(failures, jobs, jobs.c.id == failures.c.job_id)
        .where(failures.c.run_id == run_id, jobs.c.run_attempt == run_attempt)
        .order_by(failures.c.title.is_(None), failures.c.completed_at, failures.c.job_id)
    )
    rows = conn.execute(query if job_id is None else query.where(jobs.c.id == job_id)).all()
    return Why(*rows[0], len(rows) - 1) if rows else None


def is_wanted(conn: Connection, run_id: int) -> bool:
    """Whether a log of the run's failed jobs is still to be read."""
    query = sa.select(failures.c.job_id).where(failures.c.run_id == run_id, failures.c.state == "wanted")
    return conn.execute(query.limit(1)).one_or_none() is not None


def give_up(conn: Connection, job_id: int, state: str) -> None:
    """Note that the job's log can't be had: it is expired, missing or unreadable."""
    _settle(conn, job_id, {"state": state})


def _settle(conn: Connection, job_id: int, values: Mapping[str, object]) -> None:
    conn.execute(sa.update(failures).where(failures.c.job_id == job_id).values(values))
    bump_revision(conn)  # before the day's mark: everybody locks them in this order
    days.touch_run(conn, sa.select(failures.c.run_id).where(failures.c.job_id == job_id).scalar_subquery())


def put_off(conn: Connection, job_id: int, due_at: float) -> None:
    """Ask for the job's log again, not before then."""
    changed = {"due_at": int(due_at), "tries": failures.c.tries + 1}
    conn.execute(sa.update(failures).where(failures.c.job_id == job_id).values(changed))


def green_lines(conn: Connection, wanted: Wanted) -> tuple[frozenset[int], int]:
    """Return the fingerprints of what successful jobs of this name print, and when that was last read (0: never)."""
    query = sa.select(green_logs.c.read_at, green_logs.c.fingerprints).where(*_same_job(wanted))
    rows = conn.execute(query).all()
    known = frozenset(number for row in rows for number in array("q", row.fingerprints))
    return known, max((row.read_at for row in rows), default=0)


def find_green(conn: Connection, wanted: Wanted) -> int | None:
    """Return the id of the newest successful job of this name, before the failure, of which no log was read."""
    read = sa.select(green_logs.c.job_id).where(*_same_job(wanted))
    query = (
        sa.select(jobs.c.id)
        .join_from(runs, jobs, sa.and_(jobs.c.run_id == runs.c.id, jobs.c.name == wanted.name))
        .where(
            runs.c.workflow_id == wanted.workflow_id,
            runs.c.repository_id == wanted.repository_id,
            jobs.c.conclusion == "success",
            jobs.c.completed_at <= wanted.completed_at,
            jobs.c.id.not_in(read),
            runs.c.deleted_at.is_(None),
        )
        .order_by(runs.c.completed_at.desc())
        .limit(1)
    )
    found: int | None = conn.execute(query).scalar_one_or_none()
    return found


def keep_green(conn: Connection, wanted: Wanted, job_id: int, fingerprints: Collection[int], now: int) -> None:
    """Remember what a successful job printed, in the place of the oldest that is remembered."""
    row = {
        "job_id": job_id,
        "repository_id": wanted.repository_id,
        "workflow_id": wanted.workflow_id,
        "name": wanted.name,
        "read_at": now,
        "fingerprints": array("q", sorted(fingerprints)).tobytes(),
    }
    upsert(conn, green_logs, [row])
    newest = sa.select(green_logs.c.job_id).where(*_same_job(wanted)).order_by(green_logs.c.read_at.desc())
    kept = list(conn.execute(newest.limit(MOST_GREEN)).scalars())
    conn.execute(sa.delete(green_logs).where(*_same_job(wanted), green_logs.c.job_id.not_in(kept)))


def _same_job(wanted: Wanted) -> tuple[sa.ColumnElement[bool], ...]:
    table = green_logs.c
    return (
        table.repository_id == wanted.repository_id,
        table.workflow_id == wanted.workflow_id,
        table.name == wanted.name,
    )
