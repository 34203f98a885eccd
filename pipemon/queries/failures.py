"""Why the jobs of one build failed, as their logs say."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.queries.scope import Query, Scope, where
from pipemon.store.schema import runs
from pipemon.store.schema_failures import failures


@dataclass(frozen=True, slots=True)
class Seen:
    """When and how often jobs failed for one reason, over all that is stored. Unix seconds; `builds` counts runs."""

    first_seen_at: int
    last_seen_at: int
    failures: int
    builds: int


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why one job failed. `state`: wanted (not read yet), read, expired, missing, unreadable or left_out."""

    job_id: int
    state: str
    step: str | None
    step_number: int | None
    signature: str | None
    title: str | None
    platform: bool
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One line of a failed step."""

    line: int
    timestamp: str | None
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class KeptLog:
    """What is kept of a failed job's log."""

    build_id: int
    failure: JobFailure
    lines: tuple[KeptLine, ...]


def of_run(conn: Connection, scope: Scope, run_id: int) -> dict[int, JobFailure]:
    """Return why the run's jobs failed, by job id."""
    table = failures.c
    columns = (table.job_id, table.state, table.step, table.step_number, table.signature, table.title, table.platform)
    rows = conn.execute(sa.select(*columns).where(table.run_id == run_id)).all()
    known = _seen([tuple(row) for row in conn.execute(_history(scope, {row.signature for row in rows}))])
    return {row.job_id: JobFailure(*row, known.get(row.signature)) for row in rows}


def kept(conn: Connection, scope: Scope, run_id: int, job_id: int) -> KeptLog | None:
    """Return what is kept of a failed job's log; None where the build has no such job, or it did not fail."""
    found = of_run(conn, scope, run_id).get(job_id)
    query = sa.select(failures.c.lines).join_from(failures, runs, runs.c.id == failures.c.run_id)
    query = query.where(failures.c.job_id == job_id, failures.c.run_id == run_id, *where(scope))
    lines = conn.execute(query).scalar_one_or_none()
    if found is None or lines is None:
        return None
    return KeptLog(run_id, found, tuple(KeptLine(*line) for line in json.loads(lines)))


def _history(scope: Scope, ids: Collection[str | None]) -> Query:
    """Return the SELECT of when and how often these signatures were met at all, in the scope's builds."""
    at = failures.c.completed_at
    count, builds = sa.func.count(), sa.func.count(sa.distinct(failures.c.run_id))
    return (
        sa.select(failures.c.signature, sa.func.min(at), sa.func.max(at), count, builds)
        .join_from(failures, runs, runs.c.id == failures.c.run_id)
        .where(failures.c.signature.in_(sorted(key for key in ids if key is not None)), *where(scope))
        .group_by(failures.c.signature)
    )


def _seen(rows: Collection[tuple[object, ...]]) -> Mapping[str, Seen]:
    return {str(key): Seen(*rest) for key, *rest in rows}  # type: ignore[arg-type]
