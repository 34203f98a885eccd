"""The database's door: SQLite in one file, or PostgreSQL; one way to read, one to write, one for what takes long."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gevent
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

STATEMENT_TIMEOUT_MS = 30_000
# A WAL that a checkpoint has emptied is cut back to this.
WAL_BYTES = 16 * 1024 * 1024


class DatabaseError(Exception):
    """The database could not do it."""


class DatabaseBusy(DatabaseError):
    """Somebody else held the database for longer than we wait: the same call may go through later."""


class DatabaseFull(DatabaseError):
    """Nothing can be written: the disk is full, or the file system has become read-only."""


class DatabaseUnusable(DatabaseError):
    """This is no database that pipemon can work with, and waiting does not change it."""


def translate(error: BaseException) -> DatabaseError:
    """Return our error for one of the driver's."""
    text = str(getattr(error, "orig", None) or error)
    if _is_transient(error):
        return DatabaseBusy(text)
    full = ("database or disk is full", "disk I/O error", "readonly database", "No space left", "could not extend file")
    if any(word in text for word in full):
        return DatabaseFull(text)
    return DatabaseUnusable(text)


def _is_transient(error: BaseException) -> bool:
    orig = getattr(error, "orig", None) or error
    if isinstance(orig, sqlite3.OperationalError):
        return "locked" in str(orig) or "busy" in str(orig)
    # 40xxx serialization failure or deadlock, 08xxx connection, 55P03 lock, 57P0x shutdown or killed, 53300 too many
    state = getattr(orig, "sqlstate", None) or ""
    if state[:2] in ("40", "08") or state in ("55P03", "57P01", "57P02", "57P03", "53300"):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


class Database:
    """One database. `patience_seconds`: how long a write waits for its turn before DatabaseBusy."""

    def __init__(self, url: str, *, patience_seconds: float = 5.0) -> None:
        self.url = sa.make_url(url)
        if self.url.drivername in ("postgresql", "postgres"):
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.dialect = "sqlite" if self.url.drivername.startswith("sqlite") else "postgresql"
        self.path = Path(self.url.database or "") if self.dialect == "sqlite" else None
        self._patience = patience_seconds
        self._turn = threading.Lock()
        self._engine = self._make_engine()

    def _make_engine(self) -> sa.Engine:
        if self.dialect == "postgresql":
            options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
            return sa.create_engine(
                self.url, pool_size=5, max_overflow=5, pool_pre_ping=True, connect_args={"options": options}
            )
        engine = sa.create_engine(self.url, pool_size=5, max_overflow=20, connect_args={"timeout": 0})

        @sa.event.listens_for(engine, "connect")
        def prepare(dbapi: Any, record: Any) -> None:
            dbapi.isolation_level = None  # BEGIN is ours, so that DDL and reads are in transactions too
            cursor = dbapi.cursor()
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                f"journal_size_limit={WAL_BYTES}",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection on one snapshot. Never hold it across a wait for anything but the database."""
        try:
            with self._engine.connect() as conn:
                if self.dialect == "sqlite":
                    conn.exec_driver_sql("BEGIN")
                yield conn
                conn.rollback()
        except (DBAPIError, sqlite3.Error) as error:
            raise translate(error) from error

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one write transaction and commit it; where the database says "not now", all of it again."""
        deadline = time.monotonic() + self._patience
        pause = 0.002
        while True:
            try:
                return self._once(work, deadline)
            except (DBAPIError, sqlite3.Error) as error:
                if not _is_transient(error) or time.monotonic() + pause > deadline:
                    raise translate(error) from error
            gevent.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.1)

    def _once(self, work: Callable[[Connection], T], deadline: float) -> T:
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise DatabaseBusy("another write of this process is taking too long")
        try:
            with self._engine.connect() as conn:
                if self.dialect == "sqlite":
                    conn.exec_driver_sql("BEGIN IMMEDIATE")
                result = work(conn)
                conn.commit()
                return result
        finally:
            self._turn.release()

    def heavy(self, select: sa.Select[Any]) -> list[tuple[Any, ...]]:
        """Run an expensive SELECT without holding up the hub; return its rows as plain tuples."""
        if self.dialect == "postgresql":
            with self.read() as conn:
                return [tuple(row) for row in conn.execute(select)]
        compiled = select.compile(dialect=self._engine.dialect, compile_kwargs={"render_postcompile": True})
        values = [compiled.params[name] for name in compiled.positiontup or ()]
        try:
            rows: list[tuple[Any, ...]] = gevent.get_hub().threadpool.apply(
                _fetch, (str(self.path), str(compiled), values)
            )
            return rows
        except sqlite3.Error as error:
            raise translate(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _fetch(path: str, statement: str, values: list[object]) -> list[tuple[Any, ...]]:
    """Run in a native thread: plain data in and out, no lock, no log, a connection of its own."""
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0, check_same_thread=False)
    try:
        return conn.execute(statement, values).fetchall()
    finally:
        conn.close()
