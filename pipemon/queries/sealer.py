"""Makes the sums over days, and over blocks of thirty, that have come to rest: outside a transaction, stored in one."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from pipemon.queries import facts, freshness
from pipemon.queries.rolled import basis_of, conditions, main_branches, name_of, start_of
from pipemon.queries.scope import Scope
from pipemon.store import rollups as store
from pipemon.store import streaks
from pipemon.store.engine import Database
from pipemon.store.rollups import BLOCK, DAY, HOUR
from pipemon.store.schema import runs
from pipemon.store.schema_rollups import rollups

# A day is left alone for another one: its last runs are still under way.
RESTING_SECONDS = DAY
# So long at a stretch; the rest follows at the next call.
SPELL_SECONDS = 0.5


class Sealer:
    """Keeps the sums of one scope, which has no window. `clock` is GitHub's time."""

    def __init__(self, db: Database, scope: Callable[[], Scope], clock: Callable[[], float]) -> None:
        self._db = db
        self._scope = scope
        self._clock = clock

    def step(self) -> int:
        """Seal what is due, for half a second; return how many buckets were sealed."""
        scope, deadline, done = self._scope(), time.monotonic() + SPELL_SECONDS, 0
        basis = basis_of(self._db, scope)
        for level, bucket in self._due(basis):
            done += self._seal(scope, basis, level, bucket)
            if time.monotonic() > deadline:
                break
        return done

    def _due(self, basis: str) -> Iterator[tuple[int, int]]:
        """Yield the buckets that are at rest and whose sums do not hold: blocks when all their days do."""
        with self._db.read() as conn:
            first = conn.execute(sa.select(sa.func.min(runs.c.created_at))).scalar()
            found = store.clean(conn, basis)
        if first is None:
            return
        end = int(self._clock() - RESTING_SECONDS) // DAY
        for day in range(end - 1, first // DAY - 1, -1):
            if day not in found[DAY]:
                yield DAY, day
        each = BLOCK // DAY
        # The first block begins before the first run: its days before that one have nothing to sum up.
        for block in range(end // each - 1, first // BLOCK - 1, -1):
            if block not in found[BLOCK]:
                yield BLOCK, block

    def _seal(self, scope: Scope, basis: str, level: int, bucket: int) -> bool:
        touched = self._db.transact(lambda conn: store.open_bucket(conn, level, bucket))
        if level == BLOCK and not self._days_hold(basis, bucket):
            return False
        rows = self._sums_of_days(bucket) if level == BLOCK else self._sums(scope, bucket)
        return self._db.transact(lambda conn: store.seal(conn, (level, bucket), touched, basis, rows))

    def _days_hold(self, basis: str, block: int) -> bool:
        """Whether the sums of each day of the block hold; asked when it is open, so that a later change is seen."""
        with self._db.read() as conn:
            first = conn.execute(sa.select(sa.func.min(runs.c.created_at))).scalar() or 0
            days = range(max(block * (BLOCK // DAY), first // DAY), (block + 1) * (BLOCK // DAY))
            return set(days) <= store.clean(conn, basis)[DAY]

    def _sums(self, scope: Scope, day: int) -> list[dict[str, Any]]:
        """Return the rows of a day, and of its hours, from its runs."""
        rows: list[dict[str, Any]] = []
        for branch in (None, *main_branches(self._db, scope)):
            where = conditions(replace(scope, branch=branch), (day * DAY, (day + 1) * DAY))
            for kind, base in [(kind, DAY) for kind in facts.KINDS] + [("end", HOUR)]:
                for bucket, *values in self._db.heavy(facts.select(kind, where, start_of(base))):
                    row = dict(zip(facts.COLUMNS, values, strict=True))
                    rows.append({"kind": name_of(kind, branch), "level": base, "bucket": bucket, **row})
        return rows

    def _sums_of_days(self, block: int) -> list[dict[str, Any]]:
        """Return the rows of a block, from those of its days."""
        days = (rollups.c.level == DAY, rollups.c.bucket >= block * 30, rollups.c.bucket < block * 30 + 30)
        sums = [sa.func.sum(rollups.c[name]) for name in store.MEASURES[:5]]
        keys = (rollups.c.kind, rollups.c.item, rollups.c.pull_request)
        query = sa.select(*keys, *sums, sa.func.min(rollups.c.low), sa.func.max(rollups.c.high)).where(*days)
        names = ("kind", *facts.COLUMNS)
        found = [dict(zip(names, row, strict=True)) for row in self._db.heavy(query.group_by(*keys))]
        return [{**row, "level": BLOCK, "bucket": block} for row in found]


def rebuild(db: Database, excluded: Sequence[str], clock: Callable[[], float]) -> str:
    """Make incidents and sums anew from the runs, in slices; return what was done, in words."""
    with db.read() as conn:
        workflows, watched = streaks.list_workflows(conn), freshness.read(conn).names()
    for workflow_id in workflows:
        db.transact(lambda conn, workflow_id=workflow_id: streaks.rebuild(conn, workflow_id))  # type: ignore[misc]
    db.transact(store.forget)
    sealer = Sealer(db, lambda: Scope(watched, exclude_workflows=excluded), clock)
    buckets = 0
    while found := sealer.step():
        buckets += found
    return f"Made anew: the incidents of {len(workflows)} workflows, and the sums of {buckets} stretches of time."
