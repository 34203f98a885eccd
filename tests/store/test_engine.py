"""The door itself: transactions are ours, reads are snapshots, errors are four kinds."""

import shutil
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon import turns
from pipemon.store import engine
from pipemon.store.engine import Database, DatabaseBusy, DatabaseError, DatabaseUnusable
from pipemon.store.schema import event_log, repositories
from tests.store.writing import append, ids, only_postgresql, only_sqlite, url_of


def watch(conn: sa.Connection, name: str, watched: bool = True) -> None:
    conn.execute(sa.insert(repositories).values(name=name, watched=watched))


def names(db: Database) -> list[str]:
    with db.read() as conn:
        return list(conn.execute(sa.select(repositories.c.name).order_by(repositories.c.name)).scalars())


def test_sqlite_connections_are_safe_and_never_wait_in_c(path: Path) -> None:
    db = Database(f"sqlite:///{path}")
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 0}
    wanted["journal_size_limit"] = engine.WAL_BYTES

    def settings(conn: sa.Connection) -> dict[str, object]:
        return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}

    assert db.transact(settings) == wanted
    with db.read() as conn:
        assert settings(conn) == wanted
    db.close()


@only_postgresql
def test_postgresql_connections_have_time_limits(database: Database) -> None:
    def setting(conn: sa.Connection, name: str) -> object:
        return conn.exec_driver_sql(f"SHOW {name}").scalar()

    with database.read() as conn:
        assert setting(conn, "statement_timeout") == "30s"
        assert setting(conn, "idle_in_transaction_session_timeout") == "1min"
        assert setting(conn, "timezone").lower() == "utc"  # type: ignore[attr-defined]
    assert database.rebuild(lambda conn: setting(conn, "statement_timeout")) == "0"
    assert database.transact(lambda conn: setting(conn, "statement_timeout")) == "30s"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg"),
        ("sqlite:///x.sqlite3", "sqlite"),
    ],
)
def test_the_driver_is_ours(given: str, used: str) -> None:
    assert Database(given).url.drivername == used


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(DatabaseUnusable, match="sqlite:///"):
        Database("mysql://user:secret@host/database")


def test_work_that_fails_leaves_nothing_not_even_a_table(database: Database) -> None:
    def work(conn: sa.Connection) -> None:
        conn.exec_driver_sql("CREATE TABLE half (id INTEGER)")
        watch(conn, "octo/shop")
        raise RuntimeError("half done")

    with pytest.raises(RuntimeError, match="half done"):
        database.transact(work)
    with database.read() as conn:
        assert "half" not in sa.inspect(conn).get_table_names()
    assert names(database) == []
    database.transact(lambda conn: watch(conn, "octo/shop"))
    assert names(database) == ["octo/shop"]


def test_a_read_is_one_snapshot(database: Database) -> None:
    other = Database(url_of(database))
    with database.read() as conn:
        query = sa.select(sa.func.count()).select_from(repositories)
        before = conn.execute(query).scalar()
        other.transact(lambda conn: watch(conn, "octo/shop"))
        assert conn.execute(query).scalar() == before == 0
    assert names(database) == ["octo/shop"]
    other.close()


@only_sqlite
def test_a_read_has_its_snapshot_before_its_first_query(database: Database) -> None:
    """So that whatever can be "locked" about it is so at its opening, where it is tried again."""
    with database.read() as conn:
        append(database, "a")
        assert conn.execute(sa.select(sa.func.max(event_log.c.last_id))).scalar() == 0
    assert ids(database) == [1]


def test_a_read_can_not_write(database: Database) -> None:
    with pytest.raises(DatabaseError), database.read() as conn:
        watch(conn, "octo/shop")
    assert names(database) == []
    append(database, "a connection that was for reading does not stay so for writers")
    assert ids(database) == [1]


def test_reading_leaves_no_transaction_behind(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.read() as conn:
        conn.execute(sa.select(repositories)).all()
        print(1 / 0)
    append(database, "a")
    assert ids(database) == [1]


def test_S9_more_readers_than_connections_are_told_busy(hasty: Database) -> None:
    with ExitStack() as held, pytest.raises(DatabaseBusy):
        for _ in range(40):
            held.enter_context(hasty.read())
    assert names(hasty) == []


def test_one_writer_at_a_time_and_the_next_one_waits_for_its_turn(hasty: Database) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slowly(conn: sa.Connection) -> None:
        entered.set()
        leave.wait(10)
        watch(conn, "first")

    first = threading.Thread(target=hasty.transact, args=(slowly,))
    first.start()
    assert entered.wait(10)
    started = time.monotonic()
    with pytest.raises(DatabaseBusy, match="another write"):
        hasty.transact(lambda conn: watch(conn, "second"))
    assert 0.2 < time.monotonic() - started < 2
    leave.set()
    first.join()
    hasty.transact(lambda conn: watch(conn, "third"))
    assert names(hasty) == ["first", "third"]


def test_a_heavy_select_answers_as_a_direct_one(database: Database) -> None:
    for name, watched in (("a", True), ("b", False), ("c", True)):
        database.transact(lambda conn, n=name, w=watched: watch(conn, n, w))  # type: ignore[misc]
    columns = (repositories.c.name, repositories.c.watched, repositories.c.github_id, sa.literal("%").label("sign"))
    select = sa.select(*columns).where(repositories.c.name.in_(["a", "b", "x"])).where(repositories.c.id > 0).limit(5)
    select = select.order_by(repositories.c.name)
    found = database.heavy(select)
    assert found == [("a", True, None, "%"), ("b", False, None, "%")]
    assert [type(value) for value in found[1]] == [str, bool, type(None), str]
    with database.read() as conn:
        assert [tuple(row) for row in conn.execute(select)] == found


def test_a_heavy_select_sees_each_commit_and_keeps_no_snapshot(database: Database) -> None:
    query = sa.select(sa.func.count()).select_from(repositories)
    for number in range(5):
        assert database.heavy(query) == [(number,)]
        database.transact(lambda conn, n=number: watch(conn, f"r{n}"))  # type: ignore[misc]


@only_postgresql
def test_between_many_rows_others_have_their_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []
    monkeypatch.setattr(turns.gevent, "sleep", taken.append)
    many = sa.select(sa.func.generate_series(1, 10 * engine.ROWS_A_TURN))
    assert database.heavy(many) == [(number,) for number in range(1, 10 * engine.ROWS_A_TURN + 1)]
    assert taken == [turns.TURN_SECONDS] * 10
    assert turns.TURN_SECONDS > 0


def test_a_heavy_select_that_fails_says_so_in_our_words_alone(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        database.heavy(sa.select(sa.text("1")).select_from(sa.text("nowhere")))
    assert database.heavy(sa.select(sa.literal(1))) == [(1,)]
    assert capfd.readouterr().err == ""


def test_a_path_may_hold_what_means_something_in_a_uri(tmp_path: Path, sqlite_template: Path) -> None:
    folder = tmp_path / "a b%20?c#d&e"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "x.sqlite3")
    db = Database(sa.URL.create("sqlite", database=str(folder / "x.sqlite3")).render_as_string())
    assert db.heavy(sa.select(sa.func.count()).select_from(repositories)) == [(0,)]
    db.close()
