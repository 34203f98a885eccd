"""The database's door: SQLite in one file, or PostgreSQL; one way to read, one to write, one for what takes long."""

import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gevent
import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.trouble import (
    DRIVER_ERRORS,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseUnusable,
    is_transient,
    translate,
)
from pipemon.turns import give_turn

__all__ = ["Database", "DatabaseBusy", "DatabaseError", "DatabaseFull", "DatabaseUnusable", "translate"]

T = TypeVar("T")

STATEMENT_TIMEOUT_MS = 30_000
# A transaction that its client forgot would keep PostgreSQL from ever cleaning up behind it.
IDLE_TIMEOUT_MS = 60_000
# libpq waits for ever by itself: for a host that does not answer, and for one that is gone without a word.
POSTGRESQL = {"connect_timeout": 5, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
# A WAL that a checkpoint has emptied is cut back to this.
WAL_BYTES = 16 * 1024 * 1024
# So many rows are made of PostgreSQL's answer at a stretch: a few milliseconds.
ROWS_A_TURN = 500
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class Database:
    """One database. `patience_seconds`: how long a call waits for its turn before DatabaseBusy."""

    def __init__(self, url: str, *, patience_seconds: float = 5.0) -> None:
        self.url = _with_our_driver(sa.make_url(url))
        self.dialect = self.url.get_backend_name()
        self.path = Path(self.url.database or "") if self.dialect == "sqlite" else None
        self._patience = patience_seconds
        self.committed: Callable[[], object] = lambda: None  # called after each commit of ours; it must not block
        self._turn = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        if self.dialect == "sqlite":
            self._writer = self._sqlite(pool_size=1, max_overflow=0)
            self._reader = self._sqlite("query_only=ON", pool_size=5, max_overflow=20)
        else:
            self._writer = self._postgresql()
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _postgresql(self) -> sa.Engine:
        timeouts = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
        timeouts += f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS}"
        arguments = {**POSTGRESQL, "options": f"{timeouts} -c timezone=UTC"}
        pool = {"pool_size": 5, "max_overflow": 5, "pool_timeout": self._patience, "pool_pre_ping": True}
        return sa.create_engine(self.url, connect_args=arguments, **pool)

    def _sqlite(self, *more: str, **pool: int) -> sa.Engine:
        # A wait in C would stop the hub, so SQLite says "locked" at once and the waiting is ours.
        engine = sa.create_engine(self.url, connect_args={"timeout": 0}, pool_timeout=self._patience, **pool)

        @sa.event.listens_for(engine, "connect")
        def prepare(dbapi: Any, record: Any) -> None:
            dbapi.isolation_level = None  # BEGIN is ours, so that DDL and reads are in transactions too
            for pragma in (*PRAGMAS, f"journal_size_limit={WAL_BYTES}", *more):
                dbapi.execute(f"PRAGMA {pragma}").close()

        return engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection on one snapshot, for reading only. Hold it across no wait but the database's own."""
        conn = self._patiently(lambda deadline: self._snapshot())
        try:
            with conn:
                yield conn
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    def _snapshot(self) -> Connection:
        conn = self._reader.connect()
        try:
            if self.dialect == "sqlite":
                conn.exec_driver_sql("BEGIN")
                # BEGIN alone takes no snapshot. And who is "locked" (while a WAL is being recovered) is so here.
                conn.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1").close()
            return conn
        except BaseException:
            conn.close()
            raise

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one write transaction and commit it; where the database says "not now", all of it again.

        A connection that drops during the commit leaves it open whether that went through: work that is done twice
        must come to the same.
        """
        return self._patiently(lambda deadline: self._once(work, deadline))

    def rebuild(self, work: Callable[[Connection], T]) -> T:
        """As `transact`, for a change of schema: no time limit, and foreign keys are checked once, before the commit.

        SQLite changes a table by making it anew; while the old one goes, rows that refer to it point nowhere.
        """
        return self._patiently(lambda deadline: self._once(work, deadline, rebuilds=True))

    def _patiently(self, attempt: Callable[[float], T]) -> T:
        deadline = time.monotonic() + self._patience
        pause = 0.002
        while True:
            try:
                return attempt(deadline)
            except DRIVER_ERRORS as error:
                if not is_transient(error) or time.monotonic() + pause > deadline:
                    raise translate(error) from error
            gevent.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.1)

    def _once(self, work: Callable[[Connection], T], deadline: float, rebuilds: bool = False) -> T:
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise DatabaseBusy("another write of this process is taking too long")
        try:
            with self._writer.connect() as conn:
                self._begin(conn, rebuilds)
                result = work(conn)
                if rebuilds and self.dialect == "sqlite":
                    _check_foreign_keys(conn)
                conn.commit()
            self.committed()
            return result
        finally:
            self._turn.release()

    def _begin(self, conn: Connection, rebuilds: bool) -> None:
        if self.dialect == "postgresql":
            if rebuilds:
                conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
            return
        if rebuilds:
            conn.detach()  # closed afterwards: it is not as the pool's connections are
            conn.exec_driver_sql("PRAGMA foreign_keys=OFF")  # within a transaction this would do nothing
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    def heavy(self, select: sa.Select[Any]) -> list[tuple[Any, ...]]:
        """Run an expensive SELECT without holding up the hub; return its rows as plain tuples."""
        return self.heavy_each(select, [{}])[0]

    def heavy_each(self, select: sa.Select[Any], values: Sequence[Mapping[str, object]]) -> list[list[tuple[Any, ...]]]:
        """Run it once for each set of values of its parameters, at one go; return the rows of each."""
        if self.path is None:
            with self.read() as conn:
                return [_in_turns(conn.execute(select, dict(each))) for each in values]
        dialect = self._reader.dialect
        compiled = select.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        order, known = compiled.positiontup or (), compiled.params
        sets = [[each.get(name, known[name]) for name in order] for each in values]
        arguments = (self._idle, read_only(self.path), self._patience, str(compiled), sets)
        found, error = gevent.get_hub().threadpool.apply(_fetch, arguments)
        if error is not None:
            raise translate(error) from error
        types = [column.type for column in select.selected_columns]
        return [_convert(rows, types, dialect) for rows in found]

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.pop().close()
        self._reader.dispose()
        self._writer.dispose()


def _in_turns(result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
    """Return the rows, made of what the server sent a few at a time: everybody else has a turn between."""
    found: list[tuple[Any, ...]] = []
    while rows := result.fetchmany(ROWS_A_TURN):
        found += map(tuple, rows)
        if len(rows) == ROWS_A_TURN:
            give_turn()
    return found


def read_only(path: Path) -> str:
    """Return the URI under which sqlite3 opens the file for reading only."""
    return f"{path.absolute().as_uri()}?mode=ro"


def _with_our_driver(url: sa.URL) -> sa.URL:
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")  # the one that leaves the hub turning while it waits
    if url.get_backend_name() == "sqlite":
        return url
    raise DatabaseUnusable("a database is sqlite:///path/to/file or postgresql://user:password@host/database")


def _check_foreign_keys(conn: Connection) -> None:
    if (row := conn.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
        raise DatabaseError(f"a row of {row[0]} refers to one of {row[2]} that does not exist")


def _fetch(
    idle: deque[sqlite3.Connection], uri: str, patience_seconds: float, statement: str, sets: list[list[object]]
) -> tuple[list[list[tuple[Any, ...]]], sqlite3.Error | None]:
    """Run in a native thread: plain data in and out, no log, no lock (a deque needs none), no greenlet's connection.

    An error is handed back: one that is raised here gevent would print. A wait for a lock, in C, stops nobody here.
    """
    try:
        conn = idle.pop()
    except IndexError:
        conn = None
    try:
        conn = conn or sqlite3.connect(uri, uri=True, timeout=patience_seconds, check_same_thread=False)
        found = [conn.execute(statement, values).fetchall() for values in sets]
    except sqlite3.Error as error:
        if conn is not None:
            conn.close()
        return [], error
    idle.append(conn)
    return found, None


def _convert(rows: list[tuple[Any, ...]], types: list[Any], dialect: sa.Dialect) -> list[tuple[Any, ...]]:
    """Give the values the types that PostgreSQL gives them: SQLite knows no booleans."""
    found = [kind.dialect_impl(dialect).result_processor(dialect, None) for kind in types]
    typed = [(place, to) for place, to in enumerate(found) if to]
    if not typed:
        return rows
    columns = list(zip(*rows, strict=True))
    for place, to in typed if columns else ():
        columns[place] = tuple(map(to, columns[place]))
    return list(zip(*columns, strict=True))
