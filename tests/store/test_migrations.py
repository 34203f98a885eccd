"""The database has migrations: they make what schema.py says, from any earlier state, or change nothing."""

import multiprocessing
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipemon.store import upgrade as upgrading
from pipemon.store.engine import Database, DatabaseError
from pipemon.store.schema import coverage, event_log, metadata, repositories
from pipemon.store.upgrade import check, upgrade, write_migration
from tests.store.writing import only_sqlite, store_a_repository_with_coverage, url_of

HEAD = upgrading._head() or ""
NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{HEAD}"


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


def test_a_database_of_the_first_release_is_brought_up_to_date(
    database: Database, tmp_path: Path, migrations: Path
) -> None:
    url = empty(database, tmp_path)
    later = sorted(path for path in migrations.glob("*.py") if path.name > "0002")
    for path in later:
        path.rename(tmp_path / path.name)
    old = Database(url)
    upgrade(old)
    store_a_repository_with_coverage(old)
    for path in later:
        (tmp_path / path.name).rename(path)
    with pytest.raises(DatabaseError, match=HEAD):
        check(old)
    upgrade(old)
    with old.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
        assert conn.execute(sa.select(coverage.c.to_at)).all() == [(9,)]
    old.close()


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


def test_upgrading_again_writes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.read() as conn:
        before = conn.execute(sa.select(event_log)).all()
    monkeypatch.setattr(Database, "rebuild", lambda self, work: 1 / 0)
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
    (migrations / "9999_broken.py").write_text(NEXT + broken)
    with pytest.raises(DatabaseError, match="nowhere"):
        upgrade(database)
    with database.read() as conn:
        assert MigrationContext.configure(conn).get_current_revision() == HEAD
        assert "half" not in {column["name"] for column in sa.inspect(conn).get_columns("repositories")}


REBUILD = """
    with op.batch_alter_table("repositories", recreate="auto") as table:
        table.alter_column("last_error", new_column_name="newest_error")
        table.alter_column("interval_seconds", type_=sa.BigInteger)
"""


def test_a_later_migration_may_rebuild_a_table_that_others_refer_to(database: Database, migrations: Path) -> None:
    store_a_repository_with_coverage(database)
    (migrations / "9999_rebuild.py").write_text(NEXT + REBUILD)
    upgrade(database)
    with database.read() as conn:
        assert conn.exec_driver_sql("SELECT name, newest_error FROM repositories").all() == [("octo/shop", None)]
        assert conn.execute(sa.select(coverage.c.to_at)).all() == [(9,)]
    with pytest.raises(DatabaseError, match=r"(?i)foreign key"):
        database.transact(lambda conn: conn.execute(sa.insert(coverage).values(repository_id=7, from_at=0, to_at=9)))


@only_sqlite
def test_a_migration_that_leaves_rows_pointing_nowhere_is_undone(database: Database, migrations: Path) -> None:
    store_a_repository_with_coverage(database)
    (migrations / "9999_loss.py").write_text(NEXT + '    op.execute("DELETE FROM repositories")')
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
