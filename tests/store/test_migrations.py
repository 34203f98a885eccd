"""The database has migrations: they make what schema.py says, and refuse what is not ours (S3)."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipemon.store.engine import Database, DatabaseUnusable
from pipemon.store.schema import event_log, metadata
from pipemon.store.upgrade import check, upgrade


def test_migrations_and_schema_agree(database: Database) -> None:
    with database.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_the_log_begins_empty_with_an_epoch(database: Database) -> None:
    with database.read() as conn:
        (row,) = conn.execute(sa.select(event_log)).all()
    assert (row.id, row.last_id, row.revision) == (1, 0, 0)
    assert len(row.epoch) == 16


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.read() as conn:
        before = conn.execute(sa.select(event_log)).all()
    upgrade(database)
    check(database)
    with database.read() as conn:
        assert conn.execute(sa.select(event_log)).all() == before


def refused(path: Path) -> str:
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


def test_S3_damaged_files_are_refused_and_left_as_they_are(tmp_path: Path, sqlite_template: Path) -> None:
    good = sqlite_template.read_bytes()
    damaged = {
        "garbage": b"not a database at all" * 500,
        "header": b"X" * 100 + good[100:],
        "scribbled": good[:4096] + b"\xff" * 8192 + good[12288:],
        "cut": good[: len(good) // 2],
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.sqlite3"
        path.write_bytes(content)
        assert str(path) in refused(path)
        assert path.read_bytes() == content, name


def test_S3_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.sqlite3"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE accounts (id INTEGER)")
    conn.close()
    assert "another program" in refused(path)


def test_S3_a_newer_schema_is_refused(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "newer.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    with sqlite3.connect(path) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()
    assert "newer" in refused(path)


def test_a_database_behind_is_told_by_check(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(DatabaseUnusable, match="flask migrate"):
        check(db)
    db.close()
