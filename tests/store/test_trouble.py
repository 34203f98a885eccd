"""Each driver's errors are four of ours, and what passes is tried again: S9, a server that goes and comes back."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon.store.engine import Database, DatabaseBusy, DatabaseError, DatabaseFull, DatabaseUnusable, translate
from tests.store.writing import append, ids, only_postgresql, url_of


def refuses(statement: str) -> Callable[[Path], object]:
    """Return what runs the statement, with no driver of ours between."""

    def work(path: Path) -> object:
        with sqlite3.connect(path, timeout=0, isolation_level=None) as conn:
            return [conn.execute(part) for part in statement.split(";")]

    return work


def locked(path: Path) -> object:
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        return refuses("DELETE FROM events")(path)
    finally:
        holder.close()


def garbage(path: Path) -> object:
    path.write_bytes(b"not a database at all" * 500)
    return refuses("DELETE FROM events")(path)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (locked, DatabaseBusy),
        (refuses("PRAGMA max_page_count=1; CREATE TABLE big AS SELECT zeroblob(9999999)"), DatabaseFull),
        (refuses("PRAGMA query_only=ON; DELETE FROM events"), DatabaseFull),
        (garbage, DatabaseUnusable),
        (lambda path: refuses("SELECT 1")(path / "nowhere"), DatabaseUnusable),
        (refuses("INSERT INTO event_log VALUES (1, '', 0, 0)"), DatabaseError),
        (refuses("SELECT nothing FROM nowhere"), DatabaseError),
    ],
    ids=["locked", "full", "read-only", "garbage", "no file", "constraint", "our mistake"],
)
def test_sqlite_errors(path: Path, cause: Callable[[Path], object], kind: type[DatabaseError]) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        cause(path)
    assert type(translate(caught.value)) is kind


@only_postgresql
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", DatabaseBusy),
        ("40P01", DatabaseBusy),
        ("55P03", DatabaseBusy),
        ("57014", DatabaseBusy),
        ("25006", DatabaseBusy),
        ("53100", DatabaseFull),
        ("58030", DatabaseFull),
        ("XX001", DatabaseUnusable),
        ("42501", DatabaseUnusable),
        ("23505", DatabaseError),
        ("42P01", DatabaseError),
    ],
)
def test_S9_postgresql_errors(hasty: Database, state: str, kind: type[DatabaseError]) -> None:
    """The server itself raises each; those that pass are tried again until patience ends, the others once."""
    tries = []

    def work(conn: sa.Connection) -> None:
        tries.append(1)
        conn.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION E'two\\nlines' USING ERRCODE = '{state}'; END $$")

    with pytest.raises(DatabaseError) as caught:
        hasty.transact(work)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert (len(tries) > 1) == (kind is DatabaseBusy and state != "57014")


def test_S9_a_server_that_is_away_is_busy() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", patience_seconds=0.3)
    with pytest.raises(DatabaseBusy) as caught:
        away.transact(lambda conn: None)
    assert "\n" not in str(caught.value)


@only_postgresql
def test_S9_a_server_that_refuses_us_is_unusable_at_once(database: Database) -> None:
    gone = Database(sa.make_url(url_of(database)).set(database="nonesuch").render_as_string(hide_password=False))
    started = time.monotonic()
    with pytest.raises(DatabaseUnusable, match="nonesuch"):
        gone.transact(lambda conn: None)
    assert time.monotonic() - started < 2


@only_postgresql
def test_S9_a_server_that_comes_back_in_time_is_no_error(database: Database) -> None:
    """As in a restart or a failover: connections are cut and refused for a while."""
    name, admin = database.url.database, Database(url_of(database).replace(str(database.url.database), "postgres"))
    append(database, "before")

    def allow(word: bool) -> None:
        admin.transact(lambda conn: conn.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {word}"))

    allow(False)
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    admin.transact(lambda conn: conn.exec_driver_sql(cut).all())
    back = threading.Timer(0.5, allow, (True,))
    back.start()
    append(database, "after")
    back.join()
    assert ids(database) == [1, 2]
    admin.close()
