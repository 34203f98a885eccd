"""Runs, their attempts and jobs as rows. Only `ingest.apply` calls what writes here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.runs import QUEUED, Attempt, Job, Run
from pipemon.store import rows
from pipemon.store.schema import attempts, jobs, repositories, runs, workflows
from pipemon.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that has to be read by id. `missing_since`: GitHub answered 404 for it once."""

    run_id: int
    run_attempt: int
    status: str
    missing_since: int | None


@dataclass(frozen=True, slots=True)
class Wanting:
    """An attempt that is over, of which the end or the jobs are not stored yet."""

    run_id: int
    run_attempt: int
    status: str


def load_runs(conn: Connection, run_ids: Iterable[int]) -> dict[int, Run]:
    """Return the stored runs by id."""
    query = sa.select(runs, repositories.c.name.label("repository")).join_from(runs, repositories)
    return {row.id: rows.run_from_row(row) for row in conn.execute(query.where(runs.c.id.in_(list(run_ids))))}


def load_attempts(conn: Connection, run_ids: Iterable[int]) -> dict[int, dict[int, Attempt]]:
    """Return the stored attempts by run id and number."""
    found: dict[int, dict[int, Attempt]] = {}
    for row in conn.execute(sa.select(attempts).where(attempts.c.run_id.in_(list(run_ids)))):
        found.setdefault(row.run_id, {})[row.run_attempt] = rows.attempt_from_row(row)
    return found


def load_jobs(conn: Connection, run_ids: Iterable[int]) -> dict[tuple[int, int], dict[int, Job]]:
    """Return the stored jobs by (run id, attempt) and job id."""
    found: dict[tuple[int, int], dict[int, Job]] = {}
    for row in conn.execute(sa.select(jobs).where(jobs.c.run_id.in_(list(run_ids)))):
        found.setdefault((row.run_id, row.run_attempt), {})[row.id] = rows.job_from_row(row)
    return found


def load_marks(conn: Connection, run_ids: Iterable[int]) -> dict[int, tuple[int | None, int | None]]:
    """Return (missing_since, deleted_at) of those runs that carry either."""
    query = sa.select(runs.c.id, runs.c.missing_since, runs.c.deleted_at)
    is_marked = sa.or_(runs.c.missing_since.is_not(None), runs.c.deleted_at.is_not(None))
    marked = conn.execute(query.where(runs.c.id.in_(list(run_ids)), is_marked))
    return {row.id: (row.missing_since, row.deleted_at) for row in marked}


def get_standing(conn: Connection, run_id: int) -> str:
    """Return "unknown" for a run that is not stored, "deleted" for one with a tombstone, else "known"."""
    row = conn.execute(sa.select(runs.c.deleted_at).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        return "unknown"
    return "known" if row.deleted_at is None else "deleted"


def put_runs(conn: Connection, repository_id: int, changed: Mapping[int, tuple[Run, Attempt]]) -> None:
    """Insert or update runs, each with its latest attempt."""
    upsert(conn, runs, [rows.run_row(run, latest, repository_id) for run, latest in changed.values()])


def put_attempts(conn: Connection, repository_id: int, changed: Iterable[Attempt]) -> None:
    """Insert or update attempts."""
    upsert(conn, attempts, [rows.attempt_row(attempt, repository_id) for attempt in changed])


def put_jobs(conn: Connection, repository_id: int, changed: Iterable[Job]) -> None:
    """Insert or update jobs."""
    upsert(conn, jobs, [rows.job_row(job, repository_id) for job in changed])


def put_workflows(conn: Connection, repository_id: int, seen: Sequence[Run]) -> None:
    """Give each workflow the name of its newest run."""
    ids = {run.workflow_id for run in seen}
    known = dict(conn.execute(sa.select(workflows.c.id, workflows.c.named_at).where(workflows.c.id.in_(ids))).all())
    newest: dict[int, Run] = {}
    for run in sorted(seen, key=lambda run: (run.created_at, run.id)):
        if run.created_at >= known.get(run.workflow_id, -1):
            newest[run.workflow_id] = run
    named = [
        {
            "id": run.workflow_id,
            "repository_id": repository_id,
            "name": run.name or run.path or str(run.workflow_id),
            "path": run.path,
            "named_at": run.created_at,
        }
        for run in newest.values()
    ]
    upsert(conn, workflows, named)


def mark_missing(conn: Connection, run_ids: Iterable[int], at: int | None) -> None:
    """Note the first 404 by id; None takes the suspicion, and a tombstone, back."""
    values: dict[str, int | None] = {"missing_since": at}
    if at is None:
        values["deleted_at"] = None
    conn.execute(sa.update(runs).where(runs.c.id.in_(list(run_ids))).values(values))


def mark_deleted(conn: Connection, run_ids: Iterable[int], at: int) -> None:
    """Set the tombstone: the run is gone on GitHub and stays here as history."""
    conn.execute(sa.update(runs).where(runs.c.id.in_(list(run_ids))).values(deleted_at=at))


def list_unfinished(conn: Connection, repository_id: int) -> list[Unfinished]:
    """Return the runs under way, and those that GitHub answered 404 once, oldest first: both are read by id."""
    # Two statements, since each has a partial index of its own and an OR of both would read the whole table.
    columns = [runs.c.id, runs.c.run_attempt, runs.c.status, runs.c.missing_since]
    ours = (runs.c.repository_id == repository_id) & runs.c.deleted_at.is_(None)
    suspect = runs.c.missing_since.is_not(None)
    found = {row.id: Unfinished(*row) for row in conn.execute(sa.select(*columns).where(ours, suspect))}
    for row in conn.execute(sa.select(*columns).where(ours, runs.c.status != "completed")):
        found[row.id] = Unfinished(*row)
    return [found[run_id] for run_id in sorted(found)]


def count_active(conn: Connection, repository_id: int) -> tuple[int, int]:
    """Return how many of the repository's runs are in progress, and how many are queued."""
    query = (
        sa.select(runs.c.status, sa.func.count())
        .where(
            runs.c.repository_id == repository_id, sa.text("runs.status <> 'completed'"), runs.c.deleted_at.is_(None)
        )
        .group_by(runs.c.status)
    )
    found: dict[str, int] = dict(conn.execute(query).all())
    return found.get("in_progress", 0), sum(found.get(status, 0) for status in QUEUED)


def list_wanting(conn: Connection, repository_id: int, limit: int, since: int = 0) -> list[Wanting]:
    """Return the attempts that are over and not read whole, of runs that moved since then, newest run first."""
    over = sa.or_(attempts.c.status.in_(["completed", "unknown"]), attempts.c.run_attempt < runs.c.run_attempt)
    query = (
        sa.select(attempts.c.run_id, attempts.c.run_attempt, attempts.c.status)
        .join_from(attempts, runs)
        .where(
            attempts.c.repository_id == repository_id,
            sa.not_(attempts.c.jobs_complete),
            over,
            runs.c.deleted_at.is_(None),
            runs.c.updated_at >= since,
        )
        .order_by(attempts.c.run_id.desc(), attempts.c.run_attempt.desc())
        .limit(limit)
    )
    return [Wanting(*row) for row in conn.execute(query)]


def count_wanting(conn: Connection, repository_id: int) -> int:
    """Return how many attempts are not read whole, those under way included."""
    where = (attempts.c.repository_id == repository_id) & sa.not_(attempts.c.jobs_complete)
    return conn.execute(sa.select(sa.func.count()).select_from(attempts).where(where)).scalar_one()


def list_ids(conn: Connection, repository_id: int, from_at: int, to_at: int) -> set[int]:
    """Return the ids of the runs, not tombstoned, that were created in [from_at, to_at)."""
    where = (runs.c.repository_id == repository_id) & (runs.c.created_at >= from_at) & (runs.c.created_at < to_at)
    return set(conn.execute(sa.select(runs.c.id).where(where, runs.c.deleted_at.is_(None))).scalars())


def count_created(conn: Connection, repository_id: int, from_at: int) -> int:
    """Return how many runs were created since."""
    where = (runs.c.repository_id == repository_id) & (runs.c.created_at >= from_at)
    return conn.execute(sa.select(sa.func.count()).select_from(runs).where(where)).scalar_one()


def last_change(conn: Connection, repository_id: int) -> int | None:
    """Return the newest `updated_at` among the newest runs."""
    newest = (
        sa.select(runs.c.updated_at)
        .where(runs.c.repository_id == repository_id)
        .order_by(runs.c.created_at.desc())
        .limit(50)
        .subquery()
    )
    moment: int | None = conn.execute(sa.select(sa.func.max(newest.c.updated_at))).scalar_one()
    return moment
