"""Brings a database to today's schema, and refuses one that is not ours or newer than we are.

`python -m pipemon.store.upgrade --new "what changes"` writes a migration from the difference between schema.py and
the newest migration.
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from pipemon.store.engine import Database, DatabaseError, DatabaseUnusable

# Any number, the same in every process: who holds it upgrades, the others wait.
UPGRADE_LOCK = 7_042_001


def config() -> Config:
    """Return alembic's configuration, made here: there is no alembic.ini to lose."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def upgrade(db: Database) -> None:
    """Bring the database to today's schema in one transaction; an upgrade that fails changes nothing."""
    _refuse_what_is_not_ours(db)

    def work(conn: Connection) -> None:
        if db.dialect == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        _refuse_newer(conn)
        made = config()
        made.attributes["connection"] = conn
        command.upgrade(made, "head")

    db.transact(work)


def check(db: Database) -> None:
    """Raise DatabaseUnusable, with one line that says why, unless the schema is today's."""
    _refuse_what_is_not_ours(db)
    with db.read() as conn:
        _refuse_newer(conn)
        current = MigrationContext.configure(conn).get_current_revision()
        if current != _head():
            raise DatabaseUnusable(f"the database is at schema {current or 'none'}, not {_head()}: run `flask migrate`")


def _head() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()


def _refuse_newer(conn: Connection) -> None:
    current = MigrationContext.configure(conn).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseUnusable(f"the database has schema {current}, newer than this pipemon knows: upgrade pipemon")


def _refuse_what_is_not_ours(db: Database) -> None:
    """Refuse a damaged or foreign file before anything is written to it."""
    if db.path is not None:
        _refuse_file(db.path)
    try:
        with db.read() as conn:
            tables = set(sa.inspect(conn).get_table_names())
    except DatabaseError as error:
        raise DatabaseUnusable(f"the database {db.url.render_as_string()} can't be opened: {error}") from error
    if tables and "alembic_version" not in tables:
        raise DatabaseUnusable(f"the database {db.url.render_as_string()} holds tables of another program")


def _refuse_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise DatabaseUnusable(f"the folder of the database, {path.parent}, does not exist")
    if not path.exists():
        return
    try:
        conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            answer = conn.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            conn.close()
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"the database file {path} can't be used: {error}") from error
    if answer != ("ok",):
        found = " ".join(str(answer[0]).split())
        raise DatabaseUnusable(f"the database file {path} is damaged: {found}. Restore a backup")


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
