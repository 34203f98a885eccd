"""What is queued and running now, as builds and as jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.runs import QUEUED, RUNNING
from pipemon.queries import progress
from pipemon.queries.runs import NAME, STARTED_AT, elapsed
from pipemon.queries.scope import UNFINISHED, Query, Scope, where
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs

# More running builds than a screen can show; their count is exact all the same.
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Activity:
    """How many builds, or jobs, are queued, running, and waiting for somebody's approval."""

    queued_count: int
    running_count: int
    waiting_count: int


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """One running build. Moments in Unix seconds; what its progress is made of is None where it is not known."""

    id: int
    name: str | None
    repository: str
    status: str
    branch: str | None
    sha: str | None
    started_at: int
    url: str | None
    duration_seconds: int | None
    jobs_completed: int | None
    jobs_total: int | None
    progress: progress.Progress


def count_runs(conn: Connection, scope: Scope) -> Activity:
    """Return how many builds of the scope are not over."""
    query: Query = sa.select(runs.c.status, sa.func.count()).where(UNFINISHED, *where(scope)).group_by(runs.c.status)
    return _activity(dict(conn.execute(query).all()))


def count_jobs(conn: Connection, scope: Scope) -> Activity:
    """Return how many jobs of the scope's unfinished builds are not over."""
    query: Query = (
        sa.select(jobs.c.status, sa.func.count())
        .join_from(runs, jobs, _latest_jobs())
        .where(UNFINISHED, *where(scope), jobs.c.status != "completed")
        .group_by(jobs.c.status)
    )
    return _activity(dict(conn.execute(query).all()))


def _latest_jobs() -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.run_id == runs.c.id, jobs.c.run_attempt == runs.c.run_attempt)


def _activity(counts: Mapping[str, int]) -> Activity:
    queued = sum(count for status, count in counts.items() if status in QUEUED)
    running = sum(count for status, count in counts.items() if status in RUNNING)
    return Activity(queued, running, counts.get("waiting", 0))


def list_running(db: Database, scope: Scope, as_of: int) -> tuple[CurrentRun, ...]:
    """Return the builds that run, the one that started last first."""
    done = sa.func.sum(sa.case((jobs.c.status == "completed", 1), else_=0))
    columns = (
        runs.c.id,
        NAME,
        runs.c.repository_id,
        runs.c.status,
        runs.c.branch,
        runs.c.sha,
        STARTED_AT,
        runs.c.url,
        runs.c.updated_at,
        runs.c.workflow_id,
    )
    query: Query = (
        sa.select(*columns, done, sa.func.count(jobs.c.id))
        .select_from(runs.outerjoin(jobs, _latest_jobs()))
        .where(UNFINISHED, *where(scope), runs.c.status.in_(sorted(RUNNING)))
        .group_by(*columns)
        .order_by(STARTED_AT.desc(), runs.c.id.desc())
        .limit(MOST_SHOWN)
    )
    with db.read() as conn:
        rows = conn.execute(query).all()
    histories = progress.histories(db, sorted({row.workflow_id for row in rows}))
    return tuple(_current(row, scope, histories[row.workflow_id], as_of) for row in rows)


def _current(row: Any, scope: Scope, history: list[progress.PastRun], as_of: int) -> CurrentRun:
    run_id, name, repository_id, status, branch, sha, started_at, url, updated_at, _, done, total = row
    spent = elapsed(status, started_at, updated_at, None, as_of) or 0
    completed = int(done) if total else None
    return CurrentRun(
        run_id,
        name,
        scope.repositories[repository_id],
        status,
        branch,
        sha,
        started_at,
        url,
        spent,
        completed,
        total or None,
        progress.estimate(history, spent, completed, max(as_of, updated_at)),
    )
