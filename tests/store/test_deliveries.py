"""Deliveries wait, are tried again, and go: on both engines."""

from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.store import deliveries
from pipemon.store.deliveries import Delivery, pack
from pipemon.store.engine import Database
from pipemon.store.schema import deliveries as table
from tests.builders import T0


def a_delivery(guid: str = "a", **override: Any) -> Delivery:
    return Delivery(
        **{"guid": guid, "event": "workflow_run", "received_at": T0, "repository_id": 1, "packed": pack(b"{}")}
        | override
    )


def add(db: Database, *found: Delivery) -> list[bool]:
    return db.transact(lambda conn: [deliveries.add(conn, one) for one in found])


def waiting(db: Database, now: float = T0) -> list[int]:
    with db.read() as conn:
        return [one.id for one in deliveries.list_waiting(conn, now, 100)]


def column(db: Database, name: str) -> list[Any]:
    with db.read() as conn:
        return list(conn.execute(sa.select(table.c[name]).order_by(table.c.id)).scalars())


def test_W2_a_guid_is_stored_once(database: Database) -> None:
    assert add(database, a_delivery("a"), a_delivery("a", packed=pack(b"other")), a_delivery("b")) == [
        True,
        False,
        True,
    ]
    assert column(database, "guid") == ["a", "b"]
    with database.read() as conn:
        assert deliveries.get_body(conn, waiting(database)[0]) == b"{}"
        assert deliveries.depth(conn).count == 2
        assert deliveries.depth(conn).size_bytes == 2 * len(pack(b"{}"))


def test_W2_what_has_come_to_a_result_is_finished_once(database: Database) -> None:
    add(database, a_delivery())
    (first,) = waiting(database)
    assert database.transact(lambda conn: deliveries.finish(conn, first, "applied", T0 + 1))
    assert not database.transact(lambda conn: deliveries.finish(conn, first, "failed", T0 + 2))
    assert waiting(database) == []
    assert column(database, "result") == ["applied"]
    with database.read() as conn:
        assert deliveries.get_body(conn, first) is None
        assert deliveries.depth(conn) == deliveries.Depth(0, 0)


def test_what_is_postponed_waits_and_keeps_count(database: Database) -> None:
    add(database, a_delivery())
    (first,) = waiting(database)
    database.transact(lambda conn: deliveries.postpone(conn, first, T0 + 30, "later", tried=True))
    database.transact(lambda conn: deliveries.postpone(conn, first, T0 + 30, "later", tried=False))
    assert waiting(database, T0 + 29) == []
    assert waiting(database, T0 + 30) == [first]
    assert column(database, "tries") == [1]


@pytest.mark.parametrize(("result", "again"), [(None, True), ("failed", True), ("applied", False), ("kept", False)])
def test_W2_a_redelivery_gives_another_try_to_what_is_not_applied(
    database: Database, result: str | None, again: bool
) -> None:
    add(database, a_delivery(result=result))
    database.transact(lambda conn: deliveries.postpone(conn, 1, T0 + 900, "later", tried=True))
    assert database.transact(lambda conn: deliveries.revive(conn, a_delivery(received_at=T0 + 5))) == again
    assert bool(waiting(database, T0 + 5)) == again


def test_W8_a_redelivery_under_another_event_changes_nothing(database: Database) -> None:
    add(database, a_delivery(result="failed"))
    assert not database.transact(lambda conn: deliveries.revive(conn, a_delivery(event="deployment")))


def test_I8_bodies_go_after_a_day_and_rows_after_a_week(database: Database) -> None:
    ages = (0.5, 2, 6, 8)
    for result in (None, "applied", "kept", "failed"):
        add(
            database,
            *[a_delivery(f"{result}-{age}", result=result, received_at=T0 - age * 86_400) for age in ages],
        )
    assert database.transact(lambda conn: deliveries.prune(conn, T0)) == 4
    kept = dict(zip(column(database, "guid"), column(database, "body"), strict=True))
    assert {guid for guid, body in kept.items() if body is None} == {"applied-2", "applied-6"}
    assert len(kept) == 12


def test_I8_the_oldest_go_first_beyond_the_caps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add(database, *[a_delivery(str(number), result=None if number == 0 else "kept") for number in range(10)])
    size = len(pack(b"{}"))
    monkeypatch.setattr(deliveries, "MOST_BYTES", 4 * size)
    assert database.transact(lambda conn: deliveries.prune(conn, T0)) == 0
    bodies = column(database, "body")
    assert [body is not None for body in bodies] == [True] + [False] * 5 + [True] * 4
    monkeypatch.setattr(deliveries, "MOST_ROWS", 3)
    assert database.transact(lambda conn: deliveries.prune(conn, T0)) == 6
    assert column(database, "guid") == ["0", "7", "8", "9"]


def test_I8_what_waits_has_a_cap(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add(database, a_delivery("a"), a_delivery("b"))
    with database.read() as conn:
        assert not deliveries.depth(conn).full
        monkeypatch.setattr(deliveries, "MOST_WAITING", 2)
        assert deliveries.depth(conn).full
        monkeypatch.undo()
        monkeypatch.setattr(deliveries, "MOST_WAITING_BYTES", 2 * len(pack(b"{}")))
        assert deliveries.depth(conn).full
