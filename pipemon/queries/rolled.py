"""Sums over a window: of what has come to rest from the rollups, of the rest, and of the edges, from the runs."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipemon.queries import facts
from pipemon.queries.scope import Condition, Query, Scope, in_repositories, where, workflows_like
from pipemon.store import rollups as store
from pipemon.store.engine import Database
from pipemon.store.rollups import BLOCK, DAY, HOUR
from pipemon.store.schema import repositories, runs
from pipemon.store.schema_rollups import rollups

# With more pieces than this of the runs themselves, one pass over all of them is better.
MOST_PIECES = 24
# Where repositories differ in their default branch, the sums of each cost as much as those of all runs.
MOST_BRANCHES = 2

Span = tuple[int, int]


class Sum(NamedTuple):
    """The sums of one item in one stretch that begins at `start`. Seconds."""

    start: int
    item: str
    n: int
    good: int
    bad: int
    timed: int
    seconds: int
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a window is made of: stretches of runs to read, and by level the buckets [begin, end) with sums."""

    raw: tuple[Span, ...]
    summed: tuple[tuple[int, Span], ...] = ()


def main_branches(db: Database, scope: Scope) -> tuple[str, ...]:
    """Return the branches that have sums of their own: those that are the default of most of the repositories."""
    name = repositories.c.default_branch
    query = sa.select(name).where(in_repositories(repositories.c.id, scope.repositories), name.is_not(None))
    with db.read() as conn:
        found = conn.execute(query.group_by(name).order_by(sa.func.count().desc(), name).limit(MOST_BRANCHES))
        return tuple(found.scalars())


def name_of(kind: str, branch: str | None) -> str:
    """Return what the sums of a kind over the runs of a branch, or of all of them, are stored under."""
    return kind if branch is None else f"{kind}@{branch}"


def basis_of(db: Database, scope: Scope) -> str:
    """Return what tells the sums over these repositories, without the excluded workflows, from any others."""
    left_out: list[int] = []
    if scope.exclude_workflows:
        with db.read() as conn:
            left_out = sorted(conn.execute(workflows_like(scope.exclude_workflows)).scalars())
    told = f"{sorted(scope.repositories)} {left_out} {main_branches(db, scope)}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def read(db: Database, scope: Scope, kind: str, base: int | None = None) -> list[Sum]:
    """Return the sums of a kind over the completed runs of the scope, by stretches of `base` seconds."""
    parts = pieces(db, scope, base)
    selects = [_raw(kind, scope, span, base) for span in parts.raw]
    selects += [_summed(kind, scope, level, span, base) for level, span in parts.summed]
    if not selects:
        return []
    both = sa.union_all(*selects).subquery()
    measures = [sa.func.sum(both.c[name]) for name in ("n", "good", "bad", "timed", "seconds")]
    extremes = [sa.func.min(both.c.low), sa.func.max(both.c.high)]
    query: Query = sa.select(both.c.start, both.c.item, *measures, *extremes).group_by(both.c.start, both.c.item)
    return [Sum(int(at) * (base or 0), item, *map(int, sums[:5]), *sums[5:]) for at, item, *sums in db.heavy(query)]


def pieces(db: Database, scope: Scope, base: int | None = None) -> Pieces:
    """Return what the scope's window is best made of; `base` None: it need not be cut."""
    begin, end = scope.created_from, scope.created_to
    plain = replace(scope, created_from=None, created_to=None, pull_requests=True, branch=None)
    is_whole = plain == Scope(scope.repositories, exclude_workflows=scope.exclude_workflows)
    is_whole = is_whole and (scope.branch is None or scope.branch in main_branches(db, scope))
    if begin is None or end is None or not is_whole or (base is not None and base % HOUR):
        return Pieces(((begin or 0, end if end is not None else 2**40),))
    with db.read() as conn:
        found = store.clean(conn, basis_of(db, scope))
    days = [day for day in found[DAY] if begin <= day * DAY and (day + 1) * DAY <= end]
    blocks = [block for block in found[BLOCK] if base is None and begin <= block * BLOCK and (block + 1) * BLOCK <= end]
    each = BLOCK // DAY
    whole = {block * each + place for block in blocks for place in range(each)}
    summed = [(BLOCK, span) for span in joined(blocks)]
    level = DAY if base is None or base % DAY == 0 else HOUR
    summed += [(level, (a * DAY // level, b * DAY // level)) for a, b in joined(set(days) - whole)]
    covered = joined(whole | set(days))
    edges = [begin, *(moment * DAY for span in covered for moment in span), end]
    raw = tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)
    return Pieces(raw, tuple(summed)) if len(raw) <= MOST_PIECES else Pieces(((begin, end),))


def joined(buckets: Iterable[int]) -> list[Span]:
    """Return the buckets as stretches [begin, end) without a hole."""
    found: list[list[int]] = []
    for bucket in sorted(buckets):
        if found and found[-1][1] == bucket:
            found[-1][1] += 1
        else:
            found.append([bucket, bucket + 1])
    return [(a, b) for a, b in found]


def conditions(scope: Scope, span: Span) -> list[Condition]:
    """Return the conditions of the scope's runs that were created within the span."""
    return where(replace(scope, created_from=span[0], created_to=span[1]))


def start_of(base: int | None) -> sa.ColumnElement[Any]:
    """Return the number of a run's stretch."""
    # Written out, not bound: PostgreSQL must see that it is the same in SELECT and GROUP BY.
    return runs.c.created_at // sa.literal_column(str(base)) if base else sa.literal_column("0")


def _raw(kind: str, scope: Scope, span: Span, base: int | None) -> Query:
    found = facts.select(kind, conditions(scope, span), start_of(base)).subquery()
    return sa.select(*(found.c[name] for name in ("start", "item", *store.MEASURES)))


def _summed(kind: str, scope: Scope, level: int, span: Span, base: int | None) -> Query:
    start = rollups.c.bucket * level // sa.literal_column(str(base)) if base else sa.literal_column("0")
    measures: Sequence[Any] = [rollups.c[name] for name in store.MEASURES]
    query = sa.select(start.label("start"), rollups.c.item, *measures).where(
        rollups.c.kind == name_of(kind, scope.branch),
        rollups.c.level == level,
        rollups.c.bucket >= span[0],
        rollups.c.bucket < span[1],
    )
    return query if scope.pull_requests else query.where(sa.not_(rollups.c.pull_request))
