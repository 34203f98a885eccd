"""The sums: whatever is sealed, dirtied or not yet sealed, an answer is what the runs say."""

import random
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.queries import analytics, comparison, facts, rolled, tables
from pipemon.queries.scope import Scope
from pipemon.queries.sealer import Sealer
from pipemon.queries.window import Window
from pipemon.store import rollups as store
from pipemon.store.engine import Database
from pipemon.store.rollups import BLOCK, DAY, HOUR
from pipemon.store.schema import repositories, runs
from pipemon.store.schema_rollups import rollups
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.test_analytics import make
from tests.store.test_incidents import history

EXCLUDED = ("exclu*",)


def sealer_of(db: Database) -> Sealer:
    return Sealer(db, lambda: everything(db, exclude_workflows=EXCLUDED), lambda: T0 + BLOCK)


def seal_all(db: Database) -> int:
    sealer, done = sealer_of(db), 0
    while found := sealer.step():
        done += found
    return done


def far(db: Database, seed: int) -> None:
    """Store a random world, and move its runs so that it lasts a hundred days."""
    make(db, seed)
    db.transact(
        lambda conn: conn.execute(sa.update(runs).values(created_at=T0 - (T0 - runs.c.created_at) * 33 - runs.c.id % 9))
    )
    db.transact(lambda conn: conn.execute(sa.update(repositories).values(default_branch="main")))


def windows(db: Database, rng: random.Random) -> list[Scope]:
    spans = [
        (T0 - 101 * DAY, T0),
        (T0 - 60 * DAY + 77, T0 - 3 * DAY),
        (T0 - HOUR, T0),
        (T0 - 9 * DAY, T0 - 9 * DAY + 1),
    ]
    begin = T0 - rng.randrange(100 * DAY)
    spans.append((begin, begin + rng.randrange(70 * DAY)))
    more: tuple[dict[str, Any], ...] = ({}, {"pull_requests": False}, {"branch": "main"}, {"event": "push"})
    return [
        everything(db, created_from=a, created_to=b, exclude_workflows=EXCLUDED, **filters)
        for a, b in spans
        for filters in more
    ]


def told(db: Database, scopes: list[Scope]) -> list[Any]:
    bases = (None, HOUR, DAY, 900)
    return [
        sorted(rolled.read(db, scope, kind, base)) for scope in scopes for kind in facts.KINDS for base in bases[:1]
    ] + [sorted(rolled.read(db, scope, "end", base)) for scope in scopes for base in bases[1:]]


@pytest.mark.parametrize("seed", range(2))
def test_sums_are_what_the_runs_say(database: Database, seed: int) -> None:
    far(database, seed)
    scopes = windows(database, random.Random(seed))
    from_runs = told(database, scopes)
    assert seal_all(database) > 100
    assert rolled.pieces(database, scopes[0]).summed[0][0] == BLOCK
    assert told(database, scopes) == from_runs
    assert seal_all(database) == 0


def test_a_change_takes_sums_out_of_use_until_they_are_made_anew(database: Database) -> None:
    far(database, 1)
    scopes = windows(database, random.Random(1))[:4]
    seal_all(database)
    assert len(rolled.pieces(database, scopes[0]).raw) <= 2
    rng = random.Random(9)
    for _ in range(3):
        with database.read() as conn:
            some = rng.sample(conn.execute(sa.select(runs.c.id, runs.c.created_at)).all(), 4)

        def change(conn: sa.Connection, some: list[Any] = some) -> None:
            ids = [run_id for run_id, _ in some]
            conn.execute(sa.update(runs).where(runs.c.id.in_(ids[:2])).values(conclusion="timed_out", author="Zoe"))
            conn.execute(sa.update(runs).where(runs.c.id.in_(ids[2:])).values(deleted_at=T0))
            store.touch(conn, [at for _, at in some])

        database.transact(change)
        now = told(database, scopes)
        database.transact(store.forget)
        assert told(database, scopes) == now
        assert seal_all(database) > 0
        assert told(database, scopes) == now


def test_sealed_step_by_step_is_what_would_be_sealed_at_once(database: Database) -> None:
    far(database, 2)
    seal_all(database)
    with database.read() as conn:
        one = conn.execute(sa.select(runs.c.id, runs.c.created_at).order_by(runs.c.id)).first()
    assert one is not None

    def change(conn: sa.Connection) -> None:
        conn.execute(sa.update(runs).where(runs.c.id == one.id).values(conclusion="failure", status="completed"))
        store.touch(conn, [one.created_at])

    database.transact(change)
    assert seal_all(database) == 2  # the day, and its block

    def rows() -> list[Any]:
        with database.read() as conn:
            return sorted(map(str, conn.execute(sa.select(rollups))))

    before = rows()
    database.transact(store.forget)
    seal_all(database)
    assert rows() == before


def test_a_day_that_changes_while_it_is_sealed_is_not_sealed(database: Database) -> None:
    far(database, 1)
    sealer = sealer_of(database)
    sums = sealer._sums

    def late(scope: Scope, day: int) -> list[dict[str, Any]]:
        found = sums(scope, day)
        database.transact(lambda conn: store.touch(conn, [day * DAY]))
        return found

    sealer._sums = late  # type: ignore[method-assign]
    assert sealer.step() == 0
    with database.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(rollups)).scalar_one() == 0


def test_other_repositories_or_exclusions_do_not_get_these_sums(database: Database) -> None:
    far(database, 1)
    seal_all(database)
    scope = everything(database, created_from=T0 - 100 * DAY, created_to=T0)
    assert rolled.pieces(database, scope).summed == ()
    one = everything(database, created_from=T0 - 100 * DAY, created_to=T0, exclude_workflows=EXCLUDED)
    some = Scope({1: one.repositories[1]}, one.created_from, one.created_to, exclude_workflows=EXCLUDED)
    assert rolled.pieces(database, some).summed == ()
    assert rolled.pieces(database, one).summed != ()


def test_the_default_branch_has_sums_of_its_own(database: Database) -> None:
    far(database, 1)
    span = {"created_from": T0 - 100 * DAY, "created_to": T0, "exclude_workflows": EXCLUDED}
    main, topic = (everything(database, branch=branch, **span) for branch in ("main", "topic"))
    asked = (analytics.overview, analytics.trends, comparison.comparison, tables.failures, tables.performance)
    before = [ask(database, Window(main, 100, NOW)) for ask in asked]
    seal_all(database)
    assert (rolled.pieces(database, main).summed != (), rolled.pieces(database, topic).summed) == (True, ())
    assert [ask(database, Window(main, 100, NOW)) for ask in asked] == before
    # Another default branch has none yet.
    database.transact(lambda conn: conn.execute(sa.update(repositories).values(default_branch="topic")))
    assert (rolled.pieces(database, main).summed, rolled.pieces(database, topic).summed) == ((), ())
    seal_all(database)
    assert rolled.pieces(database, topic).summed != ()


def test_the_answers_are_the_same_from_sums(database: Database) -> None:
    far(database, 1)
    scope = everything(database, created_from=T0 - 100 * DAY, created_to=T0, exclude_workflows=EXCLUDED)
    window = Window(scope, 100, NOW)
    asked = (analytics.overview, analytics.trends, comparison.comparison, tables.failures, tables.performance)
    before = [ask(database, window) for ask in asked]
    seal_all(database)
    assert [ask(database, window) for ask in asked] == before


@pytest.mark.parametrize("seed", range(6))
def test_what_a_batch_changes_is_not_read_from_sums(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        history(database, rng)
        scope = everything(database, created_from=T0 - 3 * DAY, created_to=T0 + 3 * DAY, exclude_workflows=EXCLUDED)
        answer = told(database, [scope])
        database.transact(store.forget)
        assert told(database, [scope]) == answer
        assert seal_all(database) > 0
        assert rolled.pieces(database, scope).summed != ()
        assert told(database, [scope]) == answer
