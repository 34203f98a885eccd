"""S2: a disk that is full, by SQLite's own count, by a file size limit and for real."""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon.store.engine import Database, DatabaseFull
from pipemon.store.schema import events as events_table
from tests.store.writing import ROOT, append, ids


def limit_pages(db: Database, pages: int) -> None:
    """Let SQLite see a disk that is full at so many pages."""
    with db._writer.connect() as conn:  # the pool's only one
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")


def fill_up(db: Database) -> int:
    """Write until the database is full; return how many events were committed."""
    committed = len(ids(db))
    with pytest.raises(DatabaseFull):
        while True:
            append(db, f"{committed}:{'x' * 2000}")
            committed += 1
    return committed


@pytest.mark.parametrize("seed", range(10))
def test_S2_a_full_disk_loses_nothing_and_recovers_by_itself(path: Path, seed: int) -> None:
    db = Database(f"sqlite:///{path}")
    limit_pages(db, random.Random(seed).randint(60, 300))
    committed = fill_up(db)
    assert ids(db) == list(range(1, committed + 1))
    assert db.heavy(sa.select(sa.func.count()).select_from(events_table)) == [(committed,)]
    db.transact(lambda conn: conn.execute(sa.delete(events_table).where(events_table.c.id <= committed // 2 + 1)))
    append(db, "again")
    assert ids(db) == list(range(committed // 2 + 2, committed + 2))
    with db.read() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    db.close()


FILLER = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from pipemon.store.engine import Database, DatabaseFull
from tests.store.writing import append, ids
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for path, limit in zip(sys.argv[2::2], sys.argv[3::2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    db = Database(f"sqlite:///{path}")
    number = 0
    try:
        while True:
            append(db, f"{number}:{'x' * 2000}")
            number += 1
    except DatabaseFull as error:
        assert "disk I/O error" in str(error), error
    assert ids(db) == list(range(1, number + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    append(db, "again")
    db.close()
    print(number + 1)
"""


def fill_to_limits(template: Path, folder: Path, limits: list[int]) -> None:
    """Let a process meet each file size limit (a disk I/O error), go on reading, and recover without a restart."""
    paths = [Path(shutil.copy(template, folder / f"{number}.sqlite3")) for number in range(len(limits))]
    arguments = [str(part) for pair in zip(paths, limits, strict=True) for part in pair]
    command = [sys.executable, "-c", FILLER, str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-1500:]
    for path, written in zip(paths, done.stdout.split(), strict=True):
        conn = sqlite3.connect(path)
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("SELECT count(*) FROM events").fetchone() == (int(written),)
        conn.close()


def test_S2_a_disk_io_error_is_full_too(tmp_path: Path, sqlite_template: Path) -> None:
    rng = random.Random(2)
    fill_to_limits(sqlite_template, tmp_path, [rng.randint(200_000, 900_000) for _ in range(10)])


@pytest.mark.proof
def test_S2_fifty_fill_points(tmp_path: Path, sqlite_template: Path) -> None:
    rng = random.Random(3)
    fill_to_limits(sqlite_template, tmp_path, [rng.randint(300_000, 3_000_000) for _ in range(50)])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    except OSError:
        mounted = None
    if mounted is None or mounted.returncode != 0:
        pytest.skip("FULL FILE SYSTEM NOT MEASURED: tmpfs can't be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("seed", range(5))
def test_S2_a_full_file_system(small_disk: Path, sqlite_template: Path, seed: int) -> None:
    """Also for a process that starts on a disk that is full: what is there can be read."""
    path = Path(shutil.copy(sqlite_template, small_disk / "x.sqlite3"))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * random.Random(seed).randint(0, 900_000))
    db = Database(f"sqlite:///{path}")
    committed = fill_up(db)
    assert ids(db) == list(range(1, committed + 1))
    late = Database(f"sqlite:///{path}")
    assert ids(late) == list(range(1, committed + 1))
    assert late.heavy(sa.select(sa.func.count()).select_from(events_table)) == [(committed,)]
    # More than the disk is: a little may still fit into what the log gave back.
    with pytest.raises(DatabaseFull):
        append(late, "x" * 2_000_000)
    late.close()
    ballast.unlink()
    append(db, "again")
    assert ids(db) == list(range(1, committed + 2))
    db.close()
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()
