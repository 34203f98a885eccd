"""The clock (S7): a job that fails, hangs or was asleep does not end it, and no job overlaps itself; leases hold."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.background import Background, Chore, Work
from pipemon.ingest.deliveries import Deliveries
from pipemon.ingest.plan import Floors
from pipemon.store import deliveries, schema, state
from pipemon.store.deliveries import Delivery, pack
from pipemon.store.engine import Database
from tests.ingest.conftest import Story, new_story  # noqa: F401


@pytest.fixture
def work(new_story: Callable[..., Story]) -> Work:  # noqa: F811
    story = new_story()
    return Work(story.db, story.github, Floors(1, 1), 30, 3600, None, lambda: None)


@pytest.fixture
def start(work: Work) -> Iterator[Callable[[], Background]]:
    started: list[Background] = []

    def make() -> Background:
        background = Background(work)
        started.append(background)
        background.start()
        return background

    yield make
    for background in started:
        background.stop()


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_S7_a_job_that_raises_is_run_again(start: Callable[[], Background]) -> None:
    calls: list[float] = []

    def tick(self: object) -> int:
        calls.append(time.monotonic())
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipemon.ingest.poll.Poller.tick", tick)
        start()
        wait_for(lambda: len(calls) >= 3)


def test_S7_a_job_that_is_slow_never_overlaps_itself(start: Callable[[], Background]) -> None:
    running, most, calls = [0], [0], [0]
    lock = threading.Lock()

    def tick(self: object) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(1.6)
        with lock:
            running[0] -= 1
            calls[0] += 1
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipemon.ingest.poll.Poller.tick", tick)
        start()
        wait_for(lambda: calls[0] >= 2)
    assert most[0] == 1


def test_S7_the_age_of_the_last_round_is_told(start: Callable[[], Background]) -> None:
    background = start()
    wait_for(lambda: background.tick_age_seconds() is not None)
    assert (background.tick_age_seconds() or 0) < 5


def test_a_lost_lease_stops_the_writing_and_the_other_goes_on(work: Work, start: Callable[[], Background]) -> None:
    first = start()
    assert first.leads
    second = start()  # on SQLite a start takes the lease from whoever was killed
    assert second.leads
    with pytest.raises(state.LeaseLost):
        work.db.transact(first._guard)
    work.db.transact(second._guard)


def test_a_stopped_clock_writes_nothing_more(work: Work) -> None:
    background = Background(work)
    background.start()
    background.stop()
    with pytest.raises(state.LeaseLost):
        work.db.transact(background._guard)
    assert work.db.transact(lambda conn: state.take_lease(conn, "ingest", "next", time.time(), 20)) is not None


def test_a_lease_has_one_holder_and_its_token_rises(database: Database) -> None:
    def take(holder: str, now: float, steal: bool = False) -> state.Lease | None:
        return database.transact(lambda conn: state.take_lease(conn, "ingest", holder, now, 20, steal))

    first = take("a", 0)
    assert first is not None
    assert take("b", 10) is None
    assert take("a", 15) == first
    second = take("b", 36)
    assert second is not None
    assert second.token == first.token + 1
    with pytest.raises(state.LeaseLost):
        database.transact(lambda conn: state.check_lease(conn, first))
    database.transact(lambda conn: state.check_lease(conn, second))
    database.transact(lambda conn: state.release_lease(conn, second))
    assert take("c", 37) is not None


def a_delivery(work: Work, guid: str, repository_id: int = 1) -> None:
    """Store one that waits, and whose body can't be believed: it comes to a result at once."""
    waiting = Delivery(guid, "workflow_run", work.github.time(), repository_id=repository_id, packed=pack(b"[]"))
    work.db.transact(lambda conn: deliveries.add(conn, waiting))


def results(work: Work) -> list[str | None]:
    with work.db.read() as conn:
        return list(conn.execute(sa.select(schema.deliveries.c.result)).scalars())


def test_a_delivery_is_applied_at_once_when_told_of_and_soon_when_not(
    work: Work, start: Callable[[], Background], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipemon.background.LISTEN_SECONDS", 30.0)
    looked, real = [0], Deliveries.step

    def step(self: Deliveries) -> int:
        found = real(self)
        looked[0] += 1
        return found

    monkeypatch.setattr(Deliveries, "step", step)
    background = start()
    wait_for(lambda: looked[0] == 1)
    a_delivery(work, "told")
    assert results(work) == [None], "nobody has said that there is one"
    background.wake()
    wait_for(lambda: results(work) == ["failed"], seconds=5)


def test_a_delivery_that_another_process_has_stored_is_found(work: Work, start: Callable[[], Background]) -> None:
    background = start()
    wait_for(lambda: background.tick_age_seconds() is not None)
    a_delivery(work, "foreign")
    wait_for(lambda: results(work) == ["failed"], seconds=4)


def test_who_does_not_hold_the_lease_applies_nothing(work: Work, start: Callable[[], Background]) -> None:
    first = start()
    second = start()
    first._renew = lambda steal=False: None  # type: ignore[method-assign]
    first._lease = state.Lease("ingest", "first", 1)
    second._lease = None
    second._renew = lambda steal=False: None  # type: ignore[method-assign]
    for repository_id in (1, 99):  # one that would fail, and one of a repository that is not watched
        a_delivery(work, str(repository_id), repository_id)
        with pytest.raises(state.LeaseLost):
            first._deliveries.step()
        assert results(work) == [None]
        work.db.transact(lambda conn: conn.execute(sa.delete(schema.deliveries)))


def test_S7_slow_jobs_leave_the_others_their_turn(work: Work) -> None:
    released = threading.Event()
    quick: list[float] = []
    slow = [Chore(f"slow {number}", lambda: released.wait(20), 0.05) for number in range(15)]
    chores = (*slow, Chore("quick", lambda: quick.append(time.monotonic()), 0.1))
    background = Background(replace(work, chores=chores))
    background.start()
    try:
        wait_for(lambda: len(quick) >= 3, 8)
    finally:
        released.set()
        background.stop()
