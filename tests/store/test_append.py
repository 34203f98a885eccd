"""S9: the log has no gap in the order of commits, whoever writes, and no write is lost with its connection."""

import multiprocessing
import threading
from contextlib import suppress

import sqlalchemy as sa

from pipemon.store import events
from pipemon.store.engine import Database
from pipemon.store.schema import repositories
from tests.store.writing import an_event, append, ids, only_postgresql, url_of

Writers = list["multiprocessing.process.BaseProcess | threading.Thread"]


def append_many(url: str, who: int, count: int) -> None:
    """Append so many events, with transactions between that are given up: those must leave no hole."""
    db = Database(url, patience_seconds=60)

    def given_up(conn: sa.Connection) -> None:
        events.append(conn, [an_event(f"{who}-never")], 0)
        raise ZeroDivisionError

    for number in range(count):
        if number % 3 == 2:
            with suppress(ZeroDivisionError):
                db.transact(given_up)
        append(db, f"{who}-{number}")
    db.close()


def tail(db: Database, writers: Writers, total: int) -> list[int]:
    """Return the ids in the order in which one who reads from his last id on meets them."""
    seen: list[int] = []
    while len(seen) < total:
        alive = any(writer.is_alive() for writer in writers)
        with db.read() as conn:
            fresh = [row.id for row in events.list_after(conn, seen[-1] if seen else 0, 7)]
        seen += fresh
        if not alive and not fresh:
            return seen
    return seen


def test_S9_ids_have_no_gap_in_commit_order_with_many_writers(database: Database) -> None:
    """Three processes and eight threads append, each over connections of its own."""
    url, spawn = url_of(database), multiprocessing.get_context("spawn")
    writers: Writers = [spawn.Process(target=append_many, args=(url, who, 12)) for who in range(3)]
    writers += [threading.Thread(target=append_many, args=(url, 10 + who, 8)) for who in range(8)]
    for writer in writers:
        writer.start()
    seen = tail(database, writers, 3 * 12 + 8 * 8)
    for writer in writers:
        writer.join()
    assert seen == list(range(1, 101))


def test_S9_threads_that_share_a_database_take_turns(database: Database) -> None:
    writers: Writers = [
        threading.Thread(target=lambda who=who: [append(database, f"{who}-{n}") for n in range(8)])  # type: ignore[misc]
        for who in range(8)
    ]
    for writer in writers:
        writer.start()
    seen = tail(database, writers, 64)
    for writer in writers:
        writer.join()
    assert seen == list(range(1, 65))


@only_postgresql
def test_S9_a_killed_connection_is_no_lost_write(database: Database) -> None:
    tries: list[object] = []
    killer = Database(url_of(database))

    def work(conn: sa.Connection) -> None:
        tries.append(conn.exec_driver_sql("SELECT pg_backend_pid()").scalar())
        events.lock(conn)
        events.append(conn, [an_event("once")], 0)
        if len(tries) <= 2:
            killer.transact(lambda other: other.exec_driver_sql(f"SELECT pg_terminate_backend({tries[-1]})").all())

    database.transact(work)
    assert len(set(tries)) == 3
    assert ids(database) == [1]
    killer.close()


@only_postgresql
def test_S9_deadlocks_are_tried_again(database: Database) -> None:
    rows = [{"name": "a", "watched": True}, {"name": "b", "watched": True}]
    database.transact(lambda conn: conn.execute(sa.insert(repositories), rows))
    other = Database(url_of(database))
    barrier = threading.Barrier(2, timeout=10)
    tries = {"ab": 0, "ba": 0}

    def touch(db: Database, order: str) -> None:
        def work(conn: sa.Connection) -> None:
            tries[order] += 1
            for name in order:
                conn.execute(sa.update(repositories).where(repositories.c.name == name).values(github_id=1))
                if tries[order] == 1 and name == order[0]:
                    barrier.wait()

        db.transact(work)

    threads = [threading.Thread(target=touch, args=args) for args in ((database, "ab"), (other, "ba"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tries.values()) == [1, 2]
    other.close()


@only_postgresql
def test_S9_a_serialization_failure_is_tried_again(database: Database) -> None:
    """Two that both read the count and add one: the later starts anew, and neither is lost."""
    database.transact(lambda conn: conn.execute(sa.insert(repositories).values(name="a", watched=True, github_id=0)))
    other, tries = Database(url_of(database)), []

    def add_one(conn: sa.Connection) -> None:
        if conn.get_isolation_level() != "SERIALIZABLE":
            conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        tries.append(1)
        count = conn.execute(sa.select(repositories.c.github_id)).scalar_one()
        if len(tries) == 1:
            other.transact(lambda conn: conn.execute(sa.update(repositories).values(github_id=count + 1)))
        conn.execute(sa.update(repositories).values(github_id=count + 1))

    database.transact(add_one)
    with database.read() as conn:
        assert conn.execute(sa.select(repositories.c.github_id)).scalar() == 2
    assert len(tries) == 2
    other.close()
