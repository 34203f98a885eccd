"""Rows by many ids, on both engines."""

import pytest
import sqlalchemy as sa

from pipemon.store.among import among
from pipemon.store.engine import Database
from pipemon.store.schema import runs
from tests.rows import a_repository, a_run
from tests.store.writing import only_sqlite

BIG = 2**40


@pytest.mark.parametrize(
    ("ids", "found"), [([], []), ([7], [7]), ([BIG, 7, 7, 12345], [7, BIG]), (range(1, 9), [7, 8])]
)
def test_rows_by_many_ids(database: Database, ids: list[int], found: list[int]) -> None:
    a_repository(database)
    for number in (7, 8, BIG):
        a_run(database, id=number, run_number=number % 1000)
    query = sa.select(runs.c.id).where(among(runs.c.id, ids), runs.c.repository_id == 1).order_by(runs.c.id)
    for _ in range(2):  # as it is compiled, and as it is kept
        assert [key for (key,) in database.heavy(query)] == found
        with database.read() as conn:
            assert list(conn.execute(query).scalars()) == found
    with database.read() as conn:
        assert list(
            conn.execute(sa.select(runs.c.id).where(sa.not_(among(runs.c.id, [7, BIG]))).order_by(runs.c.id)).scalars()
        ) == [8]


@only_sqlite
def test_an_index_leads_to_them(database: Database) -> None:
    with database.read() as conn:
        query = sa.select(runs.c.id, runs.c.sha).where(among(runs.c.id, [1, 2]), runs.c.sha.is_not(None))
        compiled = query.compile(dialect=sa.create_engine("sqlite://").dialect)
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ("[1, 2]",)).all()
    assert "SEARCH runs USING INTEGER PRIMARY KEY" in str(plan)
