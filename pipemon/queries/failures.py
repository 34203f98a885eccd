"""Why jobs failed, as their logs say: of one build, and of a window, grouped by signature."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import COMPLETED, Query, Scope, in_repositories, where
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs, workflows
from pipemon.store.schema_failures import failures

MOST_SIGNATURES = 100
MOST_NAMES = 10


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


@dataclass(frozen=True, slots=True)
class Names:
    """Where failures of one reason were met: the first few of each, in the order of the alphabet."""

    repositories: tuple[str, ...]
    workflows: tuple[str, ...]
    branches: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The jobs of a window that failed for one reason."""

    signature: str
    title: str | None
    platform: bool
    failures: int
    builds: int
    names: Names
    latest_build_id: int
    seen: Seen
    scope: Scope


@dataclass(frozen=True, slots=True)
class Signatures:
    """The failed jobs of a window by reason, the most frequent first."""

    basis: Basis
    groups: tuple[Group, ...]
    total_failures: int
    as_of: AsOf


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


def signatures(db: Database, window: Window, limit: int = MOST_SIGNATURES) -> Signatures:
    """Return why the jobs of the window's runs failed, grouped by signature."""
    scope, signed = window.scope, failures.c.signature
    count, builds = sa.func.count(), sa.func.count(sa.distinct(failures.c.run_id))
    platform = sa.func.max(sa.cast(failures.c.platform, sa.Integer))
    query: Query = _failed(sa.select(signed, count, builds, sa.func.max(failures.c.job_id), platform), scope)
    rows = db.heavy(query.where(signed.is_not(None)).group_by(signed).order_by(count.desc(), signed).limit(limit))
    ids = [row[0] for row in rows]
    titles, names = _titles(db, [row[3] for row in rows]), _names(db, scope, ids)
    known = _seen(db.heavy(_history(scope, ids)))
    groups = []
    for key, n, of, job_id, machine in rows:
        title, run_id = titles[job_id]
        where_met = Names(*names[key])
        own = replace(scope, signature=key)
        groups.append(Group(key, title, bool(machine), n, of, where_met, run_id, known[key], own))
    total, unsigned = _unsigned(db, scope)
    return Signatures(_basis(db, window, total, unsigned), tuple(groups), total, window.as_of)


def _failed(select: Query, scope: Scope) -> Query:
    """Return the SELECT over the failed jobs of the scope's completed runs."""
    return select.join_from(failures, runs, runs.c.id == failures.c.run_id).where(COMPLETED, *where(scope))


def _titles(db: Database, job_ids: Collection[int]) -> dict[int, tuple[str | None, int]]:
    query = sa.select(failures.c.job_id, failures.c.title, failures.c.run_id)
    return {row[0]: (row[1], row[2]) for row in db.heavy(query.where(failures.c.job_id.in_(sorted(job_ids))))}


def _names(db: Database, scope: Scope, ids: Collection[str]) -> dict[str, list[tuple[str, ...]]]:
    """Return per signature the repositories, workflows, branches and jobs where it was met."""
    columns = (failures.c.signature, runs.c.repository_id, workflows.c.name, runs.c.branch, jobs.c.name)
    query = _failed(sa.select(*columns), scope).join(jobs, jobs.c.id == failures.c.job_id)
    query = query.outerjoin(workflows, workflows.c.id == runs.c.workflow_id)
    found: dict[str, list[set[str]]] = {key: [set() for _ in range(4)] for key in ids}
    for key, repository_id, *rest in db.heavy(query.where(failures.c.signature.in_(sorted(ids))).distinct()):
        for place, name in enumerate((scope.repositories[repository_id], *rest)):
            if name is not None:
                found[key][place].add(name)
    return {key: [tuple(sorted(names)[:MOST_NAMES]) for names in sets] for key, sets in found.items()}


def _history(scope: Scope, ids: Collection[str | None]) -> Query:
    """Return the SELECT of when and how often these signatures were met at all, in the scope's repositories."""
    at = failures.c.completed_at
    count, builds = sa.func.count(), sa.func.count(sa.distinct(failures.c.run_id))
    return (
        sa.select(failures.c.signature, sa.func.min(at), sa.func.max(at), count, builds)
        .where(
            failures.c.signature.in_(sorted(key for key in ids if key is not None)),
            in_repositories(failures.c.repository_id, scope.repositories),
        )
        .group_by(failures.c.signature)
    )


def _seen(rows: Collection[tuple[object, ...]]) -> Mapping[str, Seen]:
    return {str(key): Seen(*rest) for key, *rest in rows}  # type: ignore[arg-type]


def _unsigned(db: Database, scope: Scope) -> tuple[int, dict[str, int]]:
    """Return how many failed jobs have a signature, and how many have none, by reason."""
    is_signed = failures.c.signature.is_not(None)
    query = _failed(sa.select(failures.c.state, is_signed, sa.func.count()), scope)
    found: dict[str, int] = {}
    for state, signed, count in db.heavy(query.group_by(failures.c.state, is_signed)):
        reason = "signed" if signed else "silent" if state == "read" else state
        found[reason] = found.get(reason, 0) + count
    return found.pop("signed", 0), found


def _basis(db: Database, window: Window, n: int, unsigned: Mapping[str, int]) -> Basis:
    excluded = tuple(Exclusion(reason, count) for reason, count in sorted(unsigned.items()) if count)
    return Basis(window, n, excluded, coverage(db, window))
