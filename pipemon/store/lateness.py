"""Builds that run, and those that wait for a runner, of repositories whose data is up to date."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.runs import QUEUED
from pipemon.store.schema import jobs, repositories, runs

# As many are looked at; the oldest first.
MOST = 1000


def list_running(conn: Connection, now: int) -> list[tuple[int, int, int]]:
    """Return (run id, workflow id, start in Unix seconds) of each build that runs."""
    query = _unfinished(sa.select(runs.c.id, runs.c.workflow_id, runs.c.started_at), now)
    return [(row[0], row[1], row[2]) for row in conn.execute(query.where(runs.c.status == "in_progress"))]


def list_queued(conn: Connection, now: int, since: int) -> list[tuple[int, int, str | None, str]]:
    """Return (run id, since when, job, its labels as JSON) of each build that waits since then, or before.

    That is the build itself, where none of its jobs is known, or the job of its newest attempt that waits longest.
    """
    waits = [jobs.c.status.in_(sorted(QUEUED)), jobs.c.run_attempt == runs.c.run_attempt, jobs.c.created_at <= since]
    job = _unfinished(sa.select(runs.c.id, jobs.c.created_at, jobs.c.name, jobs.c.labels), now)
    job = job.join(jobs, jobs.c.run_id == runs.c.id).where(*waits)
    any_job = sa.select(jobs.c.id).where(jobs.c.run_id == runs.c.id, jobs.c.run_attempt == runs.c.run_attempt).exists()
    none, empty = sa.null().label("name"), sa.literal("[]").label("labels")
    run = _unfinished(sa.select(runs.c.id, runs.c.started_at, none, empty), now)
    run = run.where(runs.c.status == "queued", runs.c.started_at <= since, sa.not_(any_job))
    found: dict[int, tuple[int, int, str | None, str]] = {}
    for row in sorted((*conn.execute(job), *conn.execute(run)), key=lambda row: row[1]):
        found.setdefault(row[0], (row[0], row[1], row[2], row[3]))
    return list(found.values())


def _unfinished(query: sa.Select[Any], now: int) -> sa.Select[Any]:
    """Restrict a query to runs that are not over and whose repository was read as planned."""
    fresh = (repositories.c.watched, repositories.c.due_by >= now)
    open_ = (sa.text("runs.status <> 'completed'"), runs.c.deleted_at.is_(None), runs.c.missing_since.is_(None))
    joined = query.join(repositories, repositories.c.id == runs.c.repository_id)
    return joined.where(*open_, *fresh).order_by(runs.c.created_at).limit(MOST)
