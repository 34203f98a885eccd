"""Deliveries that come at one time share a commit, and each is still answered for itself."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.github.errors import BadAnswer
from pipemon.ingest.intake import Arrival, Full, Intake, Receipt
from pipemon.store import deliveries as stored
from pipemon.store import repositories
from pipemon.store.engine import Database, DatabaseFull
from pipemon.store.schema import deliveries
from tests.builders import T0

BODY = b'{"action": "completed", "workflow_run": {}, "repository": {"id": 1, "full_name": "octo/shop"}}'


@pytest.fixture
def intake(database: Database) -> Intake:
    database.transact(lambda conn: repositories.watch(conn, ["octo/shop"]))
    return Intake(database)


def an_arrival(guid: object, body: bytes = BODY, event: str = "workflow_run") -> Arrival:
    return Arrival(str(guid), event, body, T0)


def guids(db: Database) -> set[str]:
    with db.read() as conn:
        return set(conn.execute(sa.select(deliveries.c.guid)).scalars())


def at_once(intake: Intake, arrivals: list[Arrival]) -> list[Receipt | Exception]:
    """Take them in from a thread each, all of which wait for the first one's commit."""
    found: list[Any] = [None] * len(arrivals)

    def one(place: int) -> None:
        try:
            found[place] = intake.take_in(arrivals[place])
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(arrivals))]
    with intake._turn:
        for thread in threads:
            thread.start()
        while len(intake._waiting) < sum(arrival.body == BODY for arrival in arrivals):
            pass
    for thread in threads:
        thread.join()
    return found


def counted(db: Database, monkeypatch: pytest.MonkeyPatch, fail: Exception | None = None) -> list[int]:
    calls, real = [0], db.transact

    def transact(work: Callable[..., Any]) -> Any:
        calls[0] += 1
        if fail is not None:
            raise fail
        return real(work)

    monkeypatch.setattr(db, "transact", transact)
    return calls


def test_those_that_come_at_once_share_a_commit(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(database, monkeypatch)
    said = at_once(intake, [an_arrival(number) for number in range(20)])
    assert said == [Receipt("accepted")] * 20
    assert calls == [1]
    assert guids(database) == {str(number) for number in range(20)}


def test_each_has_its_own_answer(intake: Intake, database: Database) -> None:
    intake.take_in(an_arrival("known"))
    arrivals = [an_arrival("known"), an_arrival("new"), an_arrival("x", b"{"), an_arrival("push", b"{}", "push")]
    said = at_once(intake, arrivals)
    assert said[:2] == [Receipt("repeated"), Receipt("accepted")]
    assert isinstance(said[2], BadAnswer)
    assert isinstance(said[3], Receipt)
    assert said[3].status == "ignored"
    assert guids(database) == {"known", "new", "push"}


def test_two_of_one_id_at_once_are_one(intake: Intake, database: Database) -> None:
    said = at_once(intake, [an_arrival("same") for _ in range(5)])
    assert sorted(receipt.status for receipt in said if isinstance(receipt, Receipt)) == ["accepted"] + ["repeated"] * 4


def test_W5_where_the_commit_fails_none_of_them_is_accepted(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(database, monkeypatch, DatabaseFull("full"))
    said = at_once(intake, [an_arrival(number) for number in range(5)])
    assert {type(one) for one in said} == {DatabaseFull}
    monkeypatch.undo()
    assert guids(database) == set()
    assert intake.take_in(an_arrival("later")) == Receipt("accepted")


def test_I8_at_the_cap_those_that_fit_are_taken(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_WAITING", 3)
    said = at_once(intake, [an_arrival(number) for number in range(5)])
    assert [type(one) for one in said].count(Full) == 2
    assert len(guids(database)) == 3
