"""The database has migrations: they make what schema.py says, and refuse what is not ours (S3)."""

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipemon.store import upgrade as upgrading
from pipemon.store.engine import Database, DatabaseError, DatabaseUnusable
from pipemon.store.schema import coverage, event_log, metadata, repositories
from pipemon.store.upgrade import check, upgrade, write_migration
from tests.store.writing import only_postgresql, only_sqlite, url_of

ROOT = Path(__file__).parents[2]
NOBODY = 65534
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
"""


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, used instead of them; return where its versions are."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(upgrading.__file__).parent / "migrations", folder)
    config = upgrading.config

    def changed() -> object:
        made = config()
        made.set_main_option("script_location", str(folder))
        return made

    monkeypatch.setattr(upgrading, "config", changed)
    return folder / "versions"


def definitions(conn: sa.Connection) -> set[str]:
    """Return all that the engine itself says of tables and indexes: a partial index's condition too."""
    if conn.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version'"
    else:
        query = """
            SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
            UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname <> 'alembic_version_pkc'"""
    return {" ".join(sql.replace('"', "").split()) for sql in conn.exec_driver_sql(query).scalars()}


def test_migrations_and_schema_agree(database: Database) -> None:
    with database.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
        migrated = definitions(conn)

    def from_schema(conn: sa.Connection) -> set[str]:
        metadata.drop_all(conn)
        metadata.create_all(conn)
        return definitions(conn)

    made = database.transact(from_schema)
    assert migrated == made
    assert any("status <> 'completed'" in sql for sql in made)


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


def a_start(url: str, gate: "multiprocessing.synchronize.Barrier", said: "multiprocessing.Queue[str]") -> None:
    db = Database(url)
    gate.wait(30)
    try:
        upgrade(db)
        check(db)
        said.put("ready")
    except DatabaseError as error:
        said.put(repr(error))
    db.close()


def starts(url: str, count: int) -> list[str]:
    """Let so many processes upgrade the database at once; return what each said."""
    spawn = multiprocessing.get_context("spawn")
    gate, said = spawn.Barrier(count), spawn.Queue()
    processes = [spawn.Process(target=a_start, args=(url, gate, said)) for _ in range(count)]
    for process in processes:
        process.start()
    words = [said.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return words


def empty(database: Database, tmp_path: Path) -> str:
    """Return the address of a database of the same engine that has no tables yet."""
    if database.dialect == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite3'}"
    wipe = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    database.transact(lambda conn: [conn.exec_driver_sql(part) for part in wipe])
    return url_of(database)


def test_processes_that_start_at_once_are_all_ready(database: Database, tmp_path: Path) -> None:
    assert starts(empty(database, tmp_path), 4) == ["ready"] * 4


def test_an_upgrade_that_fails_changes_nothing(database: Database, migrations: Path) -> None:
    broken = """
    op.add_column("repositories", sa.Column("half", sa.Integer))
    op.execute("SELECT 1 FROM nowhere")
"""
    (migrations / "0002_broken.py").write_text(SECOND + broken)
    with pytest.raises(DatabaseError, match="nowhere"):
        upgrade(database)
    with database.read() as conn:
        assert MigrationContext.configure(conn).get_current_revision() == "0001"
        assert "half" not in {column["name"] for column in sa.inspect(conn).get_columns("repositories")}


REBUILD = """
    with op.batch_alter_table("repositories", recreate="auto") as table:
        table.alter_column("last_error", new_column_name="newest_error")
        table.alter_column("interval_seconds", type_=sa.BigInteger)
"""


def store_a_repository_with_coverage(db: Database) -> None:
    def work(conn: sa.Connection) -> None:
        conn.execute(sa.insert(repositories).values(id=1, name="octo/shop", watched=True))
        conn.execute(sa.insert(coverage).values(repository_id=1, from_at=0, to_at=9))

    db.transact(work)


def test_a_later_migration_may_rebuild_a_table_that_others_refer_to(database: Database, migrations: Path) -> None:
    store_a_repository_with_coverage(database)
    (migrations / "0002_rebuild.py").write_text(SECOND + REBUILD)
    upgrade(database)
    with database.read() as conn:
        assert conn.exec_driver_sql("SELECT name, newest_error FROM repositories").all() == [("octo/shop", None)]
        assert conn.execute(sa.select(coverage.c.to_at)).all() == [(9,)]
    with pytest.raises(DatabaseError, match=r"(?i)foreign key"):
        database.transact(lambda conn: conn.execute(sa.insert(coverage).values(repository_id=7, from_at=0, to_at=9)))


@only_sqlite
def test_a_migration_that_leaves_rows_pointing_nowhere_is_undone(database: Database, migrations: Path) -> None:
    store_a_repository_with_coverage(database)
    (migrations / "0002_loss.py").write_text(SECOND + '    op.execute("DELETE FROM repositories")')
    with pytest.raises(DatabaseError, match="a row of coverage refers to one of repositories"):
        upgrade(database)
    with database.read() as conn:
        assert conn.execute(sa.select(repositories.c.name)).all() == [("octo/shop",)]


def test_a_written_migration_brings_what_schema_py_says(
    database: Database, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(grown)
    sa.Table("marks", grown, sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.BigInteger, index=True))
    grown.tables["repositories"].append_column(sa.Column("mark", sa.Text))
    monkeypatch.setattr("pipemon.store.schema.metadata", grown)
    write_migration("marks")
    upgrade(database)
    with database.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), grown) == []
        assert compare_metadata(MigrationContext.configure(conn), metadata) != []


def refused(path: Path) -> str:
    """Return the one line with which the file is refused."""
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
        "short": good[:60],
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.sqlite3"
        path.write_bytes(content)
        assert str(path) in refused(path)
        assert path.read_bytes() == content, name


def test_S3_a_lost_file_whose_log_still_holds_data_is_not_begun_anew(tmp_path: Path, sqlite_template: Path) -> None:
    path = Path(shutil.copy(sqlite_template, tmp_path / "x.sqlite3"))
    wal = path.with_name("x.sqlite3-wal")
    db = Database(f"sqlite:///{path}")
    store_a_repository_with_coverage(db)
    content = wal.read_bytes()
    db.close()
    for lost in (path.unlink, path.touch):
        lost()
        wal.write_bytes(content)
        assert "is lost" in refused(path)
        assert wal.read_bytes() == content


def test_S3_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """One with alembic's table too: others use alembic as well."""
    for tables in ("accounts (id)", "alembic_version (version_num); INSERT INTO alembic_version VALUES ('ab12')"):
        path = tmp_path / f"{tables[:4]}.sqlite3"
        with sqlite3.connect(path) as conn:
            conn.executescript(f"CREATE TABLE {tables}")
        conn.close()
        before = path.read_bytes()
        assert "another program" in refused(path)
        assert path.read_bytes() == before


def test_S3_a_newer_schema_is_refused(database: Database) -> None:
    database.transact(lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    for try_it in (upgrade, check):
        with pytest.raises(DatabaseUnusable, match="newer than this pipemon knows"):
            try_it(database)


@pytest.mark.skipif(os.geteuid() != 0, reason="WRONG OWNER NOT TESTED: only root can give a file away")
@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o644), (0o777, 0o600), (0o777, 0o644), (0o700, 0o600)])
def test_S3_somebody_elses_file_is_refused_with_whose_it_is(sqlite_template: Path, folder: int, file: int) -> None:
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    try:
        path = Path(shutil.copy(sqlite_template, place / "x.sqlite3"))
        before = path.read_bytes()
        path.chmod(file)
        place.chmod(folder)
        script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pipemon.store.engine import Database, DatabaseError
from pipemon.store.upgrade import upgrade
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
try:
    upgrade(Database("sqlite:///{path}"))
except DatabaseError as error:
    print(type(error).__name__, error)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("DatabaseUnusable"), done.stderr[-800:]
        assert f"belongs to uid 0, pipemon runs as uid {NOBODY}" in done.stdout
        assert len(done.stdout.splitlines()) == 1
        assert path.read_bytes() == before
    finally:
        shutil.rmtree(place)


@only_postgresql
def test_S3_a_refusal_shows_no_password(database: Database) -> None:
    url = database.url.set(username="nobody", password="canary-word", database="nonesuch")
    with pytest.raises(DatabaseUnusable) as caught:
        upgrade(Database(url.render_as_string(hide_password=False)))
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_behind_is_told_by_check(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(DatabaseUnusable, match="flask migrate"):
        check(db)
    db.close()
