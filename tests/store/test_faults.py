"""The database under trouble: locked, full, killed, crowded. Real locks, real limits, real processes."""

import multiprocessing
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import gevent
import pytest
import sqlalchemy as sa

from pipemon.domain.events import Event
from pipemon.store import events
from pipemon.store.engine import Database, DatabaseBusy, DatabaseFull
from pipemon.store.schema import events as events_table
from pipemon.store.schema import repositories

ROOT = Path(__file__).parents[2]
HOLDER = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
conn.execute("ROLLBACK")
"""


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "pipemon.sqlite3"))


def an_event(key: str) -> Event:
    return Event("build_queued", "builds", "octo/shop", key, 0)


def append(db: Database, key: str) -> None:
    def work(conn: sa.Connection) -> None:
        events.lock(conn)
        events.append(conn, [an_event(key)], 0)

    db.transact(work)


def ids(db: Database) -> list[int]:
    with db.read() as conn:
        return list(conn.execute(sa.select(events_table.c.id).order_by(events_table.c.id)).scalars())


def hold(path: Path, seconds: float) -> "subprocess.Popen[bytes]":
    """Let another process hold an exclusive lock; return once it does."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_S1_a_write_waits_for_a_lock_and_goes_through(path: Path) -> None:
    db = Database(f"sqlite:///{path}", patience_seconds=5)
    with hold(path, 0.5) as holder:
        append(db, "a")
        holder.wait()
    assert ids(db) == [1]
    db.close()


def test_S1_a_lock_that_stays_is_busy_while_reads_go_on(path: Path) -> None:
    db = Database(f"sqlite:///{path}", patience_seconds=0.3)
    append(db, "a")
    with hold(path, 3) as holder:
        started = time.monotonic()
        with pytest.raises(DatabaseBusy):
            append(db, "b")
        assert 0.2 < time.monotonic() - started < 1.5
        assert ids(db) == [1]
        holder.kill()
    append(db, "b")
    assert ids(db) == [1, 2]
    db.close()


def test_S1_the_hub_turns_while_a_write_waits(path: Path) -> None:
    """A wait in C would stop every socket; ours is a greenlet's."""
    db = Database(f"sqlite:///{path}", patience_seconds=5)
    with hold(path, 0.6) as holder:
        writer = gevent.spawn(append, db, "a")
        assert worst_gap(0.5) < 0.1
        writer.get(timeout=5)
        holder.wait()
    db.close()


def worst_gap(seconds: float) -> float:
    """Return the longest time that the hub did not come back to us."""
    worst, at = 0.0, time.monotonic()
    end = at + seconds
    while at < end:
        gevent.sleep(0.002)
        now = time.monotonic()
        worst, at = max(worst, now - at - 0.002), now
    return worst


# Counts far enough to take about a quarter of a second.
SLOW = sa.text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) FROM n")


def test_S10_a_heavy_select_leaves_the_hub_alone_and_a_direct_one_does_not(path: Path) -> None:
    db = Database(f"sqlite:///{path}")
    select = sa.select(sa.literal_column("max(i)")).select_from(
        sa.text("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT i FROM n)")
    )
    heavy = gevent.spawn(db.heavy, select)
    offloaded = worst_gap(0.4)
    assert heavy.get() == [(2_000_000,)]

    def directly() -> None:
        with db.read() as conn:
            conn.execute(SLOW).all()

    greenlet = gevent.spawn(directly)
    direct = worst_gap(0.4)
    greenlet.get()
    assert offloaded < 0.1 < direct
    db.close()


def fill_up(db: Database, path: Path) -> int:
    """Write until the database is full; return how many events were committed."""
    committed = len(ids(db))
    with pytest.raises(DatabaseFull):
        while True:
            append(db, f"{committed}:{'x' * 2000}")
            committed += 1
    return committed


@pytest.mark.parametrize("pages", [80, 97, 150])
def test_S2_a_full_disk_loses_nothing_and_recovers_by_itself(path: Path, pages: int) -> None:
    db = Database(f"sqlite:///{path}")

    @sa.event.listens_for(db._writer, "connect")
    def shrink(dbapi: sqlite3.Connection, record: object) -> None:
        dbapi.execute(f"PRAGMA max_page_count={pages}")

    committed = fill_up(db, path)
    assert ids(db) == list(range(1, committed + 1))
    db.transact(lambda conn: conn.execute(sa.delete(events_table).where(events_table.c.id <= committed // 2)))
    append(db, "again")
    with db.read() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    db.close()


FILLER = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.store.test_faults import append, ids
from pipemon.store.engine import Database, DatabaseFull
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
db = Database(f"sqlite:///{sys.argv[1]}")
number = 0
try:
    while True:
        append(db, f"{number}:{'x' * 2000}")
        number += 1
except DatabaseFull:
    assert ids(db) == list(range(1, number + 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(db, "again")
print(number)
"""


def full_at(path: Path, limit: int) -> None:
    """Let a process meet the file size limit (a disk I/O error), go on reading, and recover without a restart."""
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(path), str(limit), str(ROOT)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-1500:]
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert conn.execute("SELECT count(*) FROM events").fetchone() == (int(done.stdout) + 1,)
    conn.close()


def test_S2_a_disk_io_error_is_full_too(path: Path) -> None:
    full_at(path, 700_000)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(50))
def test_S2_fifty_fill_points(path: Path, seed: int) -> None:
    full_at(path, random.Random(seed).randint(300_000, 3_000_000))


def test_S2_a_file_that_may_only_be_read_is_full(path: Path) -> None:
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        conn.execute("DELETE FROM events")
    conn.close()
    from pipemon.store.engine import translate

    assert isinstance(translate(caught.value), DatabaseFull)


def test_S6_the_wal_stays_small_while_somebody_reads(path: Path) -> None:
    db = Database(f"sqlite:///{path}")
    for number in range(300):
        append(db, f"{number}:{'x' * 4000}")
        ids(db)
    assert path.with_name(path.name + "-wal").stat().st_size < 16 * 1024 * 1024 + 8192
    db.close()


def append_many(url: str, who: int, count: int) -> None:
    db = Database(url, patience_seconds=30)
    for number in range(count):
        if number % 5 == 4:  # a transaction that is given up must leave no hole
            try:
                db.transact(lambda conn: (events.append(conn, [an_event(f"{who}-x{number}")], 0), 1 / 0))  # noqa: B023
            except ZeroDivisionError:
                pass
        append(db, f"{who}-{number}")
    db.close()


def test_S9_ids_have_no_gap_in_commit_order_with_many_writers(database: Database) -> None:
    """Three processes and two threads append; a tailer that reads by id never sees one skipped."""
    url = database.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    writers: list[multiprocessing.process.BaseProcess | threading.Thread] = [
        spawn.Process(target=append_many, args=(url, who, 15)) for who in range(3)
    ]
    writers += [threading.Thread(target=append_many, args=(url, 10 + who, 15)) for who in range(2)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while len(seen) < 75 and (any(writer.is_alive() for writer in writers) or len(seen) < len(ids(database))):
        with database.read() as conn:
            seen += [row.id for row in events.list_after(conn, seen[-1] if seen else 0, 7)]
    for writer in writers:
        writer.join()
    assert seen == list(range(1, 76))


def test_S9_a_killed_connection_is_no_lost_write(database: Database) -> None:
    if database.dialect != "postgresql":
        pytest.skip("SQLite has no connection to kill")
    tries = []

    def work(conn: sa.Connection) -> None:
        tries.append(conn.exec_driver_sql("SELECT pg_backend_pid()").scalar())
        events.lock(conn)
        events.append(conn, [an_event("once")], 0)
        if len(tries) == 1:
            with database._writer.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({tries[0]})")

    database.transact(work)
    assert len(tries) == 2
    assert ids(database) == [1]


def test_S9_deadlocks_are_tried_again(database: Database) -> None:
    if database.dialect != "postgresql":
        pytest.skip("SQLite has one writer")
    rows = [{"name": "a", "watched": True}, {"name": "b", "watched": True}]
    database.transact(lambda conn: conn.execute(sa.insert(repositories), rows))
    other = Database(database.url.render_as_string(hide_password=False))
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


def test_reading_leaves_no_transaction_behind(database: Database) -> None:
    with database.read() as conn:
        conn.execute(sa.select(repositories)).all()
    append(database, "a")
    assert ids(database) == [1]
