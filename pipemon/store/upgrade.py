"""Brings a database to today's schema, and refuses one that is not ours or newer than we are.

`python -m pipemon.store.upgrade --new "what changes"` writes a migration from the difference between schema.py and
the newest migration. To make the first one anew, delete it, do that with "The first schema", name the file and its
revision 0001, and put the event log's row back in: the tests say what is missing.
"""

import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection

from pipemon.store.engine import Database, DatabaseError, DatabaseUnusable, read_only

# Any number, the same in every process: who holds it upgrades, the others wait.
UPGRADE_LOCK = 7_042_001
# A start waits no longer for a look through the whole database: a disk reads some hundred megabytes in it.
CHECK_SECONDS = 3.0
# Both are made by the first migration, in one transaction: a database has both, or it is not ours.
OURS = {"alembic_version", "event_log"}


def config() -> Config:
    """Return alembic's configuration, made here: there is no alembic.ini to lose."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def upgrade(db: Database) -> None:
    """Bring the database to today's schema in one transaction; an upgrade that fails changes nothing."""
    # At the newest schema nothing is written, and no foreign key checked: at a million runs that takes seconds.
    if _refuse_what_is_not_ours(db) and _current(db) == _head():
        return

    def work(conn: Connection) -> None:
        if db.dialect == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        _refuse_newer(conn)
        made = config()
        made.attributes["connection"] = conn
        command.upgrade(made, "head")

    db.rebuild(work)


def check(db: Database) -> None:
    """Raise DatabaseUnusable, with one line that says why, unless the schema is today's."""
    _refuse_what_is_not_ours(db)
    if (current := _current(db)) != _head():
        raise DatabaseUnusable(f"the database is at schema {current or 'none'}, not {_head()}: run `flask migrate`")


def _current(db: Database) -> str | None:
    with db.read() as conn:
        _refuse_newer(conn)
        return MigrationContext.configure(conn).get_current_revision()


def _head() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()


def _refuse_newer(conn: Connection) -> None:
    current = MigrationContext.configure(conn).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseUnusable(f"the database has schema {current}, newer than this pipemon knows: upgrade pipemon")


def _refuse_what_is_not_ours(db: Database) -> bool:
    """Refuse a damaged, foreign or closed database, and write nothing to it; return whether it has tables."""
    tables = _tables_of_server(db) if db.path is None else _tables_of_file(db.path)
    if tables and not tables >= OURS:
        raise DatabaseUnusable(f"the database {db.url.render_as_string()} holds tables of another program")
    return bool(tables)


def _tables_of_server(db: Database) -> set[str]:
    try:
        with db.read() as conn:
            return set(sa.inspect(conn).get_table_names())
    except DatabaseError as error:
        raise type(error)(f"the database {db.url.render_as_string()} can't be opened: {error}") from error


def _tables_of_file(path: Path) -> set[str]:
    if not path.parent.is_dir():
        raise DatabaseUnusable(f"the folder of the database, {path.parent}, does not exist")
    # SQLite makes its -wal and -shm beside the file, so the folder has to be open for writing too.
    _refuse_closed(path.parent, os.R_OK | os.W_OK | os.X_OK)
    if not path.exists() or path.stat().st_size == 0:
        _refuse_orphaned_wal(path)
    if not path.exists():
        return set()
    _refuse_closed(path, os.R_OK | os.W_OK)
    return _tables_of_sound(path)


def _refuse_closed(place: Path, rights: int) -> None:
    if not os.access(place, rights):
        owner = f"it belongs to uid {place.stat().st_uid}, pipemon runs as uid {os.geteuid()}"
        raise DatabaseUnusable(f"the database needs to read and write {place}, and may not: {owner}")


def _refuse_orphaned_wal(path: Path) -> None:
    """SQLite would begin a new database and throw away what is in the log of the lost one."""
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise DatabaseUnusable(f"the database file {path} is lost, while {wal} still holds data. Restore a backup")


def _tables_of_sound(path: Path) -> set[str]:
    """Return the file's tables, or refuse it where SQLite finds damage."""
    try:
        conn = sqlite3.connect(read_only(path), uri=True, timeout=5, check_same_thread=False)
        try:
            answer = _looked_through(conn)
            tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        finally:
            conn.close()
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"the database file {path} can't be used: {error}") from error
    if answer != "ok":
        raise DatabaseUnusable(f"the database file {path} is damaged: {' '.join(answer.split())}. Restore a backup")
    return tables


def _looked_through(conn: sqlite3.Connection) -> str:
    """Return "ok" or the first damage found. Of gigabytes not all is looked at: the rest tells when it is read."""
    pool = ThreadPool(1)
    try:
        # In a native thread: nothing else can interrupt the part of it that takes longest.
        look = pool.spawn(_quick_check, conn)
        look.wait(CHECK_SECONDS)
        while not look.ready():
            conn.interrupt()
            look.wait(0.05)
        found = look.get()
    finally:
        pool.kill()
    if isinstance(found, sqlite3.Error):
        if found.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise found
        return "ok"
    return str(found)


def _quick_check(conn: sqlite3.Connection) -> str | sqlite3.Error:
    try:
        return str(conn.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return error


def write_migration(message: str) -> None:
    """Write the migration that brings the newest schema to what schema.py says now."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/scratch.sqlite3")
        upgrade(db)

        def work(conn: Connection) -> None:
            made = config()
            made.attributes["connection"] = conn
            command.revision(made, message, autogenerate=True)

        db.transact(work)
        db.close()


if __name__ == "__main__":
    write_migration(sys.argv[sys.argv.index("--new") + 1])
