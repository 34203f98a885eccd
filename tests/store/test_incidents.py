"""The table of red streaks: after any history, moved step by step or made at once, it says the same."""

import random
from collections import defaultdict
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from pipemon.domain.runs import JobList, Run
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.store import incidents, repositories, streaks
from pipemon.store.engine import Database
from pipemon.store.schema import attempts, runs
from pipemon.store.schema_rollups import incidents as table
from pipemon.store.upgrade import config
from tests.builders import T0, a_job, a_run

ENDS = ("success", "success", "failure", "failure", "timed_out", "cancelled", "skipped")
Row = dict[str, Any]


def rows_of(db: Database) -> dict[tuple[int, int], Row]:
    with db.read() as conn:
        return {(row.run_id, row.run_attempt): dict(row._mapping) for row in conn.execute(sa.select(table))}


def rebuilt(db: Database) -> dict[tuple[int, int], Row]:
    """Return the table as it is when it is made anew, and leave it so."""

    def work(conn: sa.Connection) -> None:
        for workflow_id in streaks.list_workflows(conn):
            streaks.rebuild(conn, workflow_id)

    db.transact(work)
    return rows_of(db)


def slow(db: Database) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Walk along each line of attempts, as a person would."""
    ended_at = sa.func.coalesce(attempts.c.completed_at, attempts.c.updated_at)
    query = sa.select(runs, attempts.c.run_attempt.label("n"), attempts.c.conclusion.label("end"), ended_at.label("at"))
    query = query.join_from(runs, attempts, attempts.c.run_id == runs.c.id)
    with db.read() as conn:
        found = conn.execute(query.where(runs.c.deleted_at.is_(None), attempts.c.status == "completed")).all()
    lines: dict[Any, list[Any]] = defaultdict(list)
    for row in found:
        if row.end in ("success", "failure", "timed_out", "startup_failure"):
            of_pull_request = (row.event or "").startswith("pull_request")
            lines[row.repository_id, row.workflow_id, row.branch, of_pull_request].append(row)
    told: dict[tuple[int, int], tuple[Any, ...]] = {}
    for line in lines.values():
        first, count, before = None, 0, None
        for row in sorted(line, key=lambda row: (row.run_number, row.n, row.id)):
            if row.end != "success":
                first, count = first or (row, before), count + 1
                told[first[0].id, first[0].n] = (first[0].at, first[1], count, None, None)
            elif first is not None:
                told[first[0].id, first[0].n] = (first[0].at, first[1], count, row.at, row.id)
                first, count = None, 0
            before = row.id
    return told


def told(rows: dict[tuple[int, int], Row]) -> dict[tuple[int, int], tuple[Any, ...]]:
    names = ("opened_at", "last_green", "failures", "recovered_at", "recovered_by")
    return {key: tuple(row[name] for name in names) for key, row in rows.items()}


def history(db: Database, rng: random.Random) -> None:
    """Apply a random history: out of order, with reruns, late jobs, tombstones and runs that come back."""
    db.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    made: dict[int, Run] = {}
    for step in range(rng.randrange(2, 9)):
        seen: dict[int, Run] = {}
        for _ in range(rng.randrange(1, 5)):
            run = _again(rng, rng.choice(list(made.values()))) if made and rng.random() < 0.4 else _new(rng)
            seen[run.id] = made[run.id] = run
        late = [run for run in made.values() if rng.random() < 0.2]
        jobs = tuple(_jobs(rng, run) for run in late)
        gone = tuple(run_id for run_id in made if rng.random() < 0.08 and run_id not in seen)
        batch = Batch(1, None, tuple(Sighting(run, rng.random() < 0.5) for run in seen.values()), jobs, gone=gone)
        db.transact(lambda conn, batch=batch, step=step: apply(conn, batch, T0 + 9_000 + step))


def _new(rng: random.Random) -> Run:
    number = rng.randrange(1, 12)
    at = T0 + number * 100
    return a_run(
        id=5_000 + number + 100 * (workflow := rng.choice([1, 1, 2])),
        run_number=number if rng.random() > 0.1 else 3,
        workflow_id=workflow,
        branch=rng.choice(["main", "main", "topic", None]),
        event=rng.choice(["push", "push", "pull_request", None]),
        created_at=at,
        started_at=at,
        updated_at=at + rng.randrange(1, 900),
        **_end(rng),
    )


def _end(rng: random.Random) -> dict[str, Any]:
    over = rng.random() > 0.15
    return {"status": "completed" if over else "in_progress", "conclusion": rng.choice(ENDS) if over else None}


def _again(rng: random.Random, run: Run) -> Run:
    attempt = run.run_attempt + rng.choice([0, 1, 1, -1])
    given = {name: getattr(run, name) for name in Run.__dataclass_fields__}
    given |= {"run_attempt": max(1, attempt), "updated_at": run.updated_at + rng.randrange(-50, 900), **_end(rng)}
    return Run(**given)


def _jobs(rng: random.Random, run: Run) -> JobList:
    end = run.created_at + rng.randrange(10, 2_000)
    job = a_job(run, id=run.id * 10 + run.run_attempt, completed_at=end, conclusion=rng.choice(ENDS[:4]))
    return JobList(run.id, run.run_attempt, (job,), complete=True)


def judge(db: Database, rng: random.Random) -> int:
    history(db, rng)
    moved = rows_of(db)
    assert told(moved) == slow(db)
    assert moved == rebuilt(db)
    return len(moved)


@pytest.mark.parametrize("seed", range(25))
def test_moved_step_by_step_it_is_what_it_would_be_made_at_once(database: Database, seed: int) -> None:
    judge(database, random.Random(seed))


def clear(db: Database) -> None:
    def work(conn: sa.Connection) -> None:
        for name in ("events", "jobs", "attempts", "failures", "incidents", "runs", "workflows"):
            conn.exec_driver_sql(f"DELETE FROM {name}")

    db.transact(work)


@pytest.mark.proof
def test_after_ten_thousand_histories(database: Database) -> None:
    count = 10_000 if database.dialect == "sqlite" else 1_000
    found = 0
    for seed in range(count):
        found += judge(database, random.Random(seed))
        clear(database)
    assert found > count


def a_line(db: Database, *ends: str) -> list[Run]:
    """Store runs of one line, one batch each, of the given ends."""
    db.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    made = [
        a_run(id=number, run_number=number, conclusion=end, created_at=T0 + number, updated_at=T0 + number + 60)
        for number, end in enumerate(ends, start=1)
    ]
    for run in made:
        db.transact(lambda conn, run=run: apply(conn, Batch(1, None, (Sighting(run),)), T0 + 900))
    return made


def test_a_long_streak_is_not_counted_again_for_each_failure(database: Database) -> None:
    a_line(database, *["failure"] * 30)
    run = a_run(id=31, run_number=31, conclusion="failure", created_at=T0 + 31, updated_at=T0 + 95)

    def work(conn: sa.Connection) -> None:
        walked = incidents._tried(conn, incidents.Line(1, 11, "main", False), 31)
        assert [one.run_id for one in walked] == []
        walk, start = incidents._begin(conn, incidents.Line(1, 11, "main", False), 31)
        assert (start, walk.open is not None and walk.open["failures"]) == (31, 30)
        apply(conn, Batch(1, None, (Sighting(run),)), T0 + 900)

    database.transact(work)
    assert [row["failures"] for row in rows_of(database).values()] == [31]


def test_a_success_that_comes_late_parts_a_streak_and_a_tombstone_joins_it(database: Database) -> None:
    runs_ = a_line(database, "success", "failure", "cancelled", "failure")
    assert told(rows_of(database)) == {(2, 1): (T0 + 62, 1, 2, None, None)}
    again = a_run(id=3, run_number=3, run_attempt=2, created_at=T0 + 3, started_at=T0 + 600, updated_at=T0 + 700)
    database.transact(lambda conn: apply(conn, Batch(1, None, (Sighting(again),)), T0 + 900))
    assert told(rows_of(database)) == {
        (2, 1): (T0 + 62, 1, 1, T0 + 700, 3),
        (4, 1): (T0 + 64, 3, 1, None, None),
    }
    database.transact(lambda conn: apply(conn, Batch(1, None, gone=(runs_[2].id,)), T0 + 901))
    assert told(rows_of(database)) == {(2, 1): (T0 + 62, 1, 2, None, None)}


def test_two_runs_of_one_batch_where_the_second_parts_what_the_first_belongs_to(database: Database) -> None:
    one, *_ = a_line(database, "failure", "cancelled", "failure")
    again = [
        a_run(id=number, run_number=number, run_attempt=2, conclusion=end, created_at=T0 + number, updated_at=T0 + 500)
        for number, end in ((one.id, "failure"), (2, "success"))
    ]
    database.transact(lambda conn: apply(conn, Batch(1, None, tuple(map(Sighting, again))), T0 + 900))
    assert told(rows_of(database)) == {
        (1, 1): (T0 + 61, None, 2, T0 + 500, 2),
        (3, 1): (T0 + 63, 2, 1, None, None),
    }


def test_a_run_that_broke_mended_and_broke_its_line_is_walked_from_its_first_attempt(database: Database) -> None:
    one, *_ = a_line(database, "failure", "cancelled", "failure")

    def again(number: int, attempt: int, end: str) -> None:
        at = T0 + 500 + attempt
        run = a_run(
            id=number, run_number=number, run_attempt=attempt, conclusion=end, created_at=T0 + number, updated_at=at
        )
        database.transact(lambda conn: apply(conn, Batch(1, None, (Sighting(run),)), T0 + 900))

    again(one.id, 2, "success")
    again(one.id, 3, "failure")
    again(2, 2, "failure")
    assert told(rows_of(database)) == {
        (1, 1): (T0 + 61, None, 1, T0 + 502, 1),
        (1, 3): (T0 + 503, 1, 3, None, None),
    }


def test_an_upgrade_fills_the_table_from_what_is_stored(database: Database) -> None:
    history(database, random.Random(5))
    before = rows_of(database)

    def back(conn: sa.Connection) -> None:
        for statement in (
            "DROP TABLE incidents",
            "DROP INDEX ix_runs_line",
            "DROP INDEX ix_runs_window",
            "DROP INDEX ix_runs_workflow_created",
            "CREATE INDEX ix_runs_created ON runs (created_at)",
            "UPDATE alembic_version SET version_num = '0011'",
        ):
            conn.exec_driver_sql(statement)

    def forth(conn: sa.Connection) -> None:
        made = config()
        made.attributes["connection"] = conn
        command.upgrade(made, "0008")  # what came later is there already

    database.rebuild(back)
    database.rebuild(forth)
    assert rows_of(database) == before != {}


def test_a_line_that_is_read_in_several_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "AT_ONCE", 2)
    incidents._tried_from.cache_clear()
    try:
        for seed in range(8):
            judge(database, random.Random(seed))
            clear(database)
    finally:
        incidents._tried_from.cache_clear()
