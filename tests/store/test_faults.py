"""A SQLite database under trouble: locked, and with a WAL that grows. The locks are another process's."""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon.store import engine
from pipemon.store.engine import Database, DatabaseBusy
from pipemon.store.schema import events as events_table
from tests.store.holder import Holder
from tests.store.writing import append, ids, keys


def test_S1_a_write_waits_for_a_lock_and_goes_through(path: Path, holder: Holder) -> None:
    db = Database(f"sqlite:///{path}", patience_seconds=5)
    holder.take(0.3)
    append(db, "a")
    assert ids(db) == [1]
    db.close()


def test_S1_a_lock_that_stays_is_busy_while_reads_go_on(path: Path, holder: Holder) -> None:
    db = Database(f"sqlite:///{path}", patience_seconds=0.3)
    append(db, "a")
    holder.take(60)
    started = time.monotonic()
    with pytest.raises(DatabaseBusy):
        append(db, "b")
    assert 0.2 < time.monotonic() - started < 1.5
    assert ids(db) == [1]
    assert db.heavy(sa.select(sa.func.count()).select_from(events_table)) == [(1,)]
    holder.kill()
    append(db, "b")
    assert ids(db) == [1, 2]
    db.close()


# Shuts readers out too, as the one does that recovers the WAL after a crash.
RECOVERER = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA locking_mode=EXCLUSIVE")
conn.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(0.4)
"""


def test_S1_a_read_waits_for_one_who_shuts_out_readers_too(path: Path) -> None:
    command = [sys.executable, "-c", RECOVERER, str(path)]
    query = sa.select(sa.func.count()).select_from(events_table)
    for look in (ids, lambda db: db.heavy(query)):
        hasty, db = (Database(f"sqlite:///{path}", patience_seconds=seconds) for seconds in (0.05, 10))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recoverer:
            assert recoverer.stdout.readline() == "held\n"
            with pytest.raises(DatabaseBusy):
                look(hasty)
            assert look(db) in ([], [(0,)])
        hasty.close()
        db.close()


def test_S1_locks_at_random_lose_nothing_and_no_read_fails(path: Path, holder: Holder) -> None:
    """What was said to be written is there, what was said to be busy is not, and nobody saw another error."""
    db = Database(f"sqlite:///{path}", patience_seconds=0.1)
    rng = random.Random(1)
    written: list[str] = []
    busy: list[str] = []
    reads: list[int] = []
    stop = threading.Event()

    def write(who: int) -> None:
        for number in range(1_000_000):
            if stop.is_set():
                return
            key = f"{who}-{number}"
            try:
                append(db, key)
                written.append(key)
            except DatabaseBusy:
                busy.append(key)

    def read() -> None:
        while not stop.is_set():
            reads.append(len(ids(db)))
            time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(2)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        seconds = rng.choice([0.01, 0.05, 0.25])
        holder.take(seconds)
        before = len(reads)
        holder.wait()
        assert len(reads) > before or seconds < 0.2, "reads stood still while another process held the lock"
        time.sleep(rng.uniform(0, 0.02))
    stop.set()
    for thread in threads:
        thread.join()
    assert keys(db) == set(written)
    assert written
    assert busy
    assert reads == sorted(reads)
    db.close()


def wal_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_S6_the_wal_is_cut_back_once_a_long_reader_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAL_BYTES", 512 * 1024)
    db = Database(f"sqlite:///{path}")
    append(db, "first")
    with db.read():
        for number in range(400):
            append(db, f"{number}:{'x' * 4000}")
        assert wal_bytes(path) > 4 * 512 * 1024, "too little was written to show anything"
    for number in range(5):
        append(db, f"after {number}")
    assert wal_bytes(path) <= 512 * 1024
    db.close()


def test_S6_reads_of_every_kind_let_the_wal_begin_anew(path: Path) -> None:
    """Each read ends by itself, so checkpoints reach the end of the log and it stays at about 1,000 pages."""
    db = Database(f"sqlite:///{path}")
    query = sa.select(sa.func.max(events_table.c.id))
    for number in range(600):
        append(db, f"{number}:{'x' * 8000}")
        ids(db)
        db.heavy(query)
    assert wal_bytes(path) < 2 * 1000 * 4120
    assert path.stat().st_size > 4 * 1024 * 1024, "too little was written to show anything"
    db.close()
