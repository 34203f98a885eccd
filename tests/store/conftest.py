"""A SQLite file of a test's own, another process that locks it, and a database reached with little patience."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipemon.store.engine import Database
from tests.store.holder import Holder
from tests.store.writing import url_of


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "pipemon.sqlite3"))


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    held = Holder(path)
    yield held
    held.kill()


@pytest.fixture
def hasty(database: Database) -> Iterator[Database]:
    """The same database, reached with little patience."""
    db = Database(url_of(database), patience_seconds=0.3)
    yield db
    db.close()
