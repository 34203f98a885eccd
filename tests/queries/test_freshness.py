"""Up to when an answer is true."""

import pytest

from pipemon.queries import freshness
from pipemon.queries.freshness import AsOf, RepositoryFreshness, Snapshot
from pipemon.store.engine import Database
from tests.builders import T0
from tests.rows import a_repository, a_run, bump

BUCKET = 600


def one(name: str, read_at: int | None, due_by: int | None, running: int = 0) -> RepositoryFreshness:
    return RepositoryFreshness(1, name, "main", read_at, due_by, 30, None, running, running)


def snapshot(*repositories: RepositoryFreshness) -> Snapshot:
    return Snapshot("e", 1, 1, repositories)


@pytest.mark.parametrize(
    ("repositories", "now", "expected"),
    [
        ([], 659, AsOf(600, "never", None)),
        ([one("a", None, None)], 659, AsOf(600, "never", None)),
        ([one("a", 640, 700)], 659, AsOf(600, "fresh", 0)),
        ([one("a", 590, 700)], 659.9, AsOf(600, "fresh", 10)),
        ([one("a", 590, 650)], 650, AsOf(600, "fresh", 10)),
        ([one("a", 590, 650)], 651, AsOf(590, "stale", 10)),
        # Overdue, yet read within this bucket: never later than the bucket's start.
        ([one("a", 640, 650)], 651, AsOf(600, "stale", 0)),
        ([one("a", 640, 700), one("b", 300, 330)], 651, AsOf(300, "stale", 300)),
        # The oldest read alone does not make an answer old: it was not planned sooner.
        ([one("a", 640, 650), one("b", 300, 9000)], 651, AsOf(600, "stale", 300)),
        ([one("a", 640, 700), one("b", None, None)], 651, AsOf(600, "never", 0)),
        ([one("a", 500, 700), one("b", None, None)], 651, AsOf(500, "never", 100)),
        ([one("a", 640, None)], 651, AsOf(600, "stale", 0)),
    ],
)
def test_as_of(repositories: list[RepositoryFreshness], now: float, expected: AsOf) -> None:
    assert freshness.as_of(snapshot(*repositories), (), 60, now) == expected


def test_as_of_asks_only_for_the_named_repositories() -> None:
    both = snapshot(one("a", 640, 700), one("b", 300, 330))
    assert freshness.as_of(both, ("a",), 60, 651) == AsOf(600, "fresh", 0)
    assert freshness.as_of(both, ("b",), 60, 651).data_state == "stale"


def test_reach_counts_what_runs() -> None:
    both = snapshot(one("a", 1, 2, running=2), one("b", 1, 2, running=3))
    assert freshness.reach(both, ()).running == 5
    assert freshness.reach(both, ("b",)).running == 3


def test_read(database: Database) -> None:
    a_repository(database, 1)
    a_repository(database, 2, last_success_at=None, due_by=None)
    a_repository(database, 3, watched=False)
    a_run(database, status="in_progress")
    a_run(database, status="in_progress", deleted_at=T0)
    a_run(database, status="waiting")
    a_run(database)
    with database.read() as conn:
        before = freshness.read(conn)
    assert [(item.name, item.running, item.unfinished) for item in before.repositories] == [
        ("acme/shop-1", 1, 2),
        ("acme/shop-2", 0, 0),
    ]
    assert [item.data_state(T0) for item in before.repositories] == ["fresh", "never"]
    assert before.names() == {1: "acme/shop-1", 2: "acme/shop-2"}
    bump(database)
    with database.read() as conn:
        after = freshness.read(conn)
        again = freshness.read(conn)
    assert (after.epoch, after.revision) == (before.epoch, before.revision + 1)
    assert after.equals(again) and not after.equals(before)
