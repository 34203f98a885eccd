"""S3: what is damaged, foreign, newer or not for us to write is refused with one line, and stays as it is."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipemon.store.engine import Database, DatabaseUnusable
from pipemon.store.upgrade import check, upgrade
from tests.store.writing import ROOT, only_postgresql, store_a_repository_with_coverage

NOBODY = 65534


def refused(path: Path) -> str:
    """Return the one line with which the file is refused."""
    db = Database(f"sqlite:///{path}")
    try:
        with pytest.raises(DatabaseUnusable) as caught:
            upgrade(db)
    finally:
        db.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_S3_a_missing_file_is_made_and_a_missing_folder_is_not(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'new.sqlite3'}")
    upgrade(db)
    check(db)
    db.close()
    assert "does not exist" in refused(tmp_path / "nowhere" / "x.sqlite3")


def test_a_start_waits_for_the_look_through_no_longer_than_so(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(conn: sqlite3.Connection) -> str | sqlite3.Error:
        try:
            conn.execute("WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n").fetchone()
            return "ok"
        except sqlite3.Error as error:
            return error

    shutil.copy(sqlite_template, tmp_path / "large.sqlite3")
    monkeypatch.setattr("pipemon.store.upgrade._quick_check", endless)
    monkeypatch.setattr("pipemon.store.upgrade.CHECK_SECONDS", 0.1)
    db, began = Database(f"sqlite:///{tmp_path / 'large.sqlite3'}"), time.monotonic()
    check(db)
    assert 0.1 <= time.monotonic() - began < 5
    db.close()


def test_S3_damaged_files_are_refused_and_left_as_they_are(tmp_path: Path, sqlite_template: Path) -> None:
    good = sqlite_template.read_bytes()
    damaged = {
        "garbage": b"not a database at all" * 500,
        "header": b"X" * 100 + good[100:],
        "scribbled": good[:4096] + b"\xff" * 8192 + good[12288:],
        "cut": good[: len(good) // 2],
        "short": good[:60],
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.sqlite3"
        path.write_bytes(content)
        assert str(path) in refused(path)
        assert path.read_bytes() == content, name


def test_S3_a_lost_file_whose_log_still_holds_data_is_not_begun_anew(tmp_path: Path, sqlite_template: Path) -> None:
    path = Path(shutil.copy(sqlite_template, tmp_path / "x.sqlite3"))
    wal = path.with_name("x.sqlite3-wal")
    db = Database(f"sqlite:///{path}")
    store_a_repository_with_coverage(db)
    content = wal.read_bytes()
    db.close()
    for lost in (path.unlink, path.touch):
        lost()
        wal.write_bytes(content)
        assert "is lost" in refused(path)
        assert wal.read_bytes() == content


def test_S3_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """One with alembic's table too: others use alembic as well."""
    for tables in ("accounts (id)", "alembic_version (version_num); INSERT INTO alembic_version VALUES ('ab12')"):
        path = tmp_path / f"{tables[:4]}.sqlite3"
        with sqlite3.connect(path) as conn:
            conn.executescript(f"CREATE TABLE {tables}")
        conn.close()
        before = path.read_bytes()
        assert "another program" in refused(path)
        assert path.read_bytes() == before


def test_S3_a_newer_schema_is_refused(database: Database) -> None:
    database.transact(lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    for try_it in (upgrade, check):
        with pytest.raises(DatabaseUnusable, match="newer than this pipemon knows"):
            try_it(database)


@pytest.mark.skipif(os.geteuid() != 0, reason="WRONG OWNER NOT TESTED: only root can give a file away")
@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o644), (0o777, 0o600), (0o777, 0o644), (0o700, 0o600)])
def test_S3_somebody_elses_file_is_refused_with_whose_it_is(sqlite_template: Path, folder: int, file: int) -> None:
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    try:
        path = Path(shutil.copy(sqlite_template, place / "x.sqlite3"))
        before = path.read_bytes()
        path.chmod(file)
        place.chmod(folder)
        script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pipemon.store.engine import Database, DatabaseError
from pipemon.store.upgrade import upgrade
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
try:
    upgrade(Database("sqlite:///{path}"))
except DatabaseError as error:
    print(type(error).__name__, error)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("DatabaseUnusable"), done.stderr[-800:]
        assert f"belongs to uid 0, pipemon runs as uid {NOBODY}" in done.stdout
        assert len(done.stdout.splitlines()) == 1
        assert path.read_bytes() == before
    finally:
        shutil.rmtree(place)


@only_postgresql
def test_S3_a_refusal_shows_no_password(database: Database) -> None:
    url = database.url.set(username="nobody", password="canary-word", database="nonesuch")
    with pytest.raises(DatabaseUnusable) as caught:
        upgrade(Database(url.render_as_string(hide_password=False)))
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_behind_is_told_by_check(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(DatabaseUnusable, match="flask migrate"):
        check(db)
    db.close()
