"""What stands: what an outage hid and what is late, as both databases say it."""

import sqlalchemy as sa

from pipemon.domain.runs import JobList
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.store import hidden, lateness, repositories
from pipemon.store.engine import Database
from pipemon.store.hidden import Away
from pipemon.store.schema import repositories as table
from tests.builders import T0, a_job, a_run

SHOP = "octo/shop"


def see(db: Database, number: int, status: str, conclusion: str | None, at: int, branch: str = "main") -> None:
    times = {"created_at": at - 60, "started_at": at - 60, "updated_at": at}
    run = a_run(id=number, run_number=number, repository=SHOP, head_repository=SHOP, event="push", branch=branch,
                status=status, conclusion=conclusion, **times)  # fmt: skip
    db.transact(lambda conn: apply(conn, Batch(1, live_since=None, runs=(Sighting(run),)), at))


def watched(db: Database, **values: int | None) -> None:
    db.transact(lambda conn: repositories.watch(conn, [SHOP]))
    db.transact(lambda conn: conn.execute(sa.update(table).values(**values)))


def test_what_broke_or_was_repaired_in_the_gap(database: Database) -> None:
    watched(database, away_since=T0, live_since=T0 + 7200, swept_at=T0 + 7300)
    see(database, 1, "completed", "failure", T0 - 5000, "old")
    see(database, 2, "completed", "failure", T0 - 5000, "mended")
    see(database, 3, "completed", "success", T0 + 100, "mended")
    see(database, 4, "completed", "failure", T0 + 200)
    see(database, 5, "completed", "failure", T0 + 300, "brief")
    see(database, 6, "completed", "success", T0 + 400, "brief")
    see(database, 7, "completed", "failure", T0 + 7300, "now")
    with database.read() as conn:
        (gap,) = hidden.list_away(conn)
        assert gap == Away(1, T0, T0 + 7200)
        assert [row.run_id for row in hidden.list_broken(conn, gap)] == [4]
        assert [row.recovered_by for row in hidden.list_repaired(conn, gap)] == [3]
    database.transact(lambda conn: hidden.looked_into(conn, gap))
    with database.read() as conn:
        assert hidden.list_away(conn) == []


def test_what_runs_and_what_waits(database: Database) -> None:
    watched(database, due_by=T0 + 60)
    see(database, 1, "in_progress", None, T0)
    see(database, 2, "queued", None, T0)
    see(database, 3, "completed", "success", T0)
    run = a_run(id=1, run_number=1, repository=SHOP)
    job = a_job(run, id=9, status="queued", conclusion=None, created_at=T0 - 900, labels=("gpu",))
    listed = JobList(1, 1, (job,), False)
    database.transact(lambda conn: apply(conn, Batch(1, live_since=None, jobs=(listed,)), T0))
    with database.read() as conn:
        assert [row[0] for row in lateness.list_running(conn, T0)] == [1]
        assert lateness.list_queued(conn, T0, T0 - 600) == [(1, T0 - 900, job.name, '["gpu"]')]
        assert [row[0] for row in lateness.list_queued(conn, T0, T0)] == [1, 2]
        # Of what is not read as planned nothing can be said.
        assert (lateness.list_running(conn, T0 + 61), lateness.list_queued(conn, T0 + 61, T0)) == ([], [])
