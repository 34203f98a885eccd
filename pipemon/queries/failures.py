"""Why jobs failed, as their logs say: of one build, and of a window, grouped by signature."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.analytics.arrays import count
from pipemon.queries.columns import Look, Source, over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Query, Scope, where
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.schema import runs, workflows
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


def signatures(db: Source, window: Window, limit: int = MOST_SIGNATURES) -> Signatures:
    """Return why the jobs of the window's runs failed, grouped by signature."""
    db = Look.at(db)
    scope = window.scope
    found = over(db, "failures", scope, _grouped, limit)
    titles = _titles(db, [one.latest for one in found.groups])
    called = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    every = Scope(scope.repositories, exclude_workflows=scope.exclude_workflows)
    known = over(db, "failures", every, _seen_before, [one.signature for one in found.groups])
    groups = []
    for one in found.groups:
        title, run_id = titles[one.latest]
        names = (
            [scope.repositories[key] for key in one.repositories],
            [called[key] for key in one.workflows if key in called],
            [name for name in one.branches if name is not None],
            [name for name in one.jobs if name is not None],
        )
        where_met = Names(*(tuple(sorted(set(each))[:MOST_NAMES]) for each in names))
        own = replace(scope, signature=one.signature)
        platform, seen = one.platform, known[one.signature]
        groups.append(Group(one.signature, title, platform, one.n, one.builds, where_met, run_id, seen, own))
    return Signatures(_basis(db, window, found.signed, found.unsigned), tuple(groups), found.signed, window.as_of)


@dataclass(frozen=True, slots=True)
class _Group:
    signature: str
    n: int
    builds: int
    latest: int
    platform: bool
    repositories: list[int]
    workflows: list[int]
    branches: list[str | None]
    jobs: list[str | None]


@dataclass(frozen=True, slots=True)
class _Grouped:
    groups: list[_Group]
    signed: int
    unsigned: Mapping[str, int]


def _grouped(rows: Rows, limit: int) -> _Grouped:
    """Return the signatures with the most failed jobs, and how many jobs have none, by reason."""
    is_over, is_signed = rows["completed"] == 1, rows.known("signature")
    signed, rest = rows.where(is_over & is_signed), rows.where(is_over & ~is_signed)
    n = count(signed["signature"], 1)
    order = sorted(map(int, np.flatnonzero(n)), key=lambda code: (-n[code], signed.word("signature", code)))
    unsigned: dict[str, int] = {}
    for state, of in zip(*np.unique(rest["state"], return_counts=True), strict=True):
        word = rest.word("state", int(state))
        unsigned["silent" if word == "read" else word] = int(of)
    return _Grouped([_group(signed, code) for code in order[:limit]], len(signed), unsigned)


def _group(signed: Rows, code: int) -> _Group:
    own = signed.where(signed["signature"] == code)
    names = ("repository_id", "workflow_id", "branch", "name")
    words = ([own.word(name, int(one)) for one in np.unique(own[name])] for name in names)
    latest, platform = int(own["job_id"].max()), bool(own["platform"].any())
    return _Group(own.word("signature", code), len(own), len(np.unique(own["id"])), latest, platform, *words)


def _seen_before(rows: Rows, signatures: list[str]) -> dict[str, Seen]:
    """Return when and how often these signatures were met at all."""
    wanted = set(signatures)
    some = rows.where(rows.has("signature", wanted.__contains__))
    key, groups = some.keyed("signature")
    found = {}
    for number, (signature,) in enumerate(groups):
        own = some.where(key == number)
        at = own["failed_at"]
        found[signature] = Seen(int(at.min()), int(at.max()), len(own), len(np.unique(own["id"])))
    return found


def _titles(db: Source, job_ids: Collection[int]) -> dict[int, tuple[str | None, int]]:
    query = sa.select(failures.c.job_id, failures.c.title, failures.c.run_id)
    return {row[0]: (row[1], row[2]) for row in db.heavy(query.where(failures.c.job_id.in_(sorted(job_ids))))}


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


def _basis(db: Source, window: Window, n: int, unsigned: Mapping[str, int]) -> Basis:
    excluded = tuple(Exclusion(reason, count) for reason, count in sorted(unsigned.items()) if count)
    return Basis(window, n, excluded, coverage(db, window))
