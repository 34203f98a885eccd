"""A workflow that became slower at a run is told with that run, on both engines."""

import random
from typing import Any

import pytest

from pipemon.queries import regressions, whole
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.rows import a_repository, a_workflow, put, run_row

DAYS = 30


def window_of(db: Database, **filters: Any) -> Window:
    return Window(everything(db, created_from=T0 - DAYS * DAY_SECONDS, created_to=T0, **filters), DAYS, NOW)


def fill(db: Database, count: int = 120, shift_at: int = 80, **over: Any) -> None:
    """Store runs of which every fourth fails early; from one on they take twice as long, for their job `test` does."""
    rng = random.Random(1)
    rows, done = [], []
    for number in range(1, count + 1):
        long = 200 if number >= shift_at else 100
        failed = number % 4 == 0
        seconds = 5 if failed else long + rng.randrange(-9, 10)
        at = T0 - 20 * DAY_SECONDS + number * 3600
        row = run_row(
            id=1000 + number, run_number=number, created_at=at, conclusion="failure" if failed else "success",
            duration_seconds=seconds, completed_at=at + seconds, queue_seconds=rng.randrange(3, 9),
            sha=f"{number:040x}",
        )  # fmt: skip
        rows.append(row | over)
        for place, (name, took) in enumerate((("build", 60 + rng.randrange(5)), ("test", seconds))):
            done.append(
                {
                    "id": 9_000_000 + 2 * number + place, "run_id": row["id"], "run_attempt": 1, "repository_id": 1,
                    "name": name, "status": "completed", "conclusion": row["conclusion"], "created_at": at,
                    "started_at": at + 4, "completed_at": at + 4 + took, "labels": "[]", "steps": "[]",
                }
            )  # fmt: skip
    rng.shuffle(rows)
    put(db, runs, *rows)
    put(db, jobs, *done)


def test_the_first_run_after_the_shift_is_told(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    fill(database)
    found = regressions.regressions(database, window_of(database))
    told = [(one.job, one.measure, one.since.run_number, one.until) for one in found.regressions]
    # Number 80 failed: 81 is the first of those that tell how long it takes.
    assert told == [(None, "duration", 81, None), ("test", "duration", 81, None)]
    own = found.regressions[0]
    assert (own.since.id, own.since.sha, own.workflow) == (1081, f"{81:040x}", "CI")
    assert own.relative == pytest.approx(100, abs=10)
    assert (found.improvements, found.basis.n, found.workflows) == ((), 120, 1)
    assert [one.job for one in whole.performance(database, window_of(database)).regressions] == [None, "test"]


def test_what_is_over_is_an_improvement_and_not_in_performance(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    fill(database, 120, 60)
    database.transact(
        lambda conn: conn.execute(
            runs.update().where(runs.c.run_number > 90, runs.c.conclusion == "success").values(duration_seconds=100)
        )
    )
    found = regressions.regressions(database, window_of(database, event="push"))
    (worse,) = [one for one in found.regressions if one.job is None]
    (better,) = found.improvements
    assert worse.until is not None and (worse.since.run_number, worse.until.run_number) == (61, 91)
    assert (better.since.run_number, better.absolute < 0) == (91, True)
    assert [one.job for one in whole.performance(database, window_of(database)).regressions] == ["test"]


def test_only_the_newest_runs_of_the_busiest_are_looked_at(database: Database, monkeypatch: Any) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    a_workflow(database, 8, "Rare")
    fill(database)
    put(database, runs, run_row(id=5, workflow_id=8))
    monkeypatch.setattr(regressions, "MOST_RUNS", 45)
    assert regressions.regressions(database, window_of(database)).basis.n == 46
    monkeypatch.setattr(regressions, "MOST_WORKFLOWS", 1)
    found = regressions.regressions(database, window_of(database))
    assert (found.basis.n, found.workflows) == (45, 1)
    assert found.regressions == ()
    monkeypatch.setattr(regressions, "MOST_RUNS", 120)
    monkeypatch.setattr(regressions, "JOB_RUNS", 40)
    assert [one.job for one in regressions.regressions(database, window_of(database)).regressions] == [None]


def test_other_filters_hold(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    fill(database)
    for filters in ({"branch": "other"}, {"workflow": "None"}, {"exclude_workflows": ("ci",)}):
        assert regressions.regressions(database, window_of(database, **filters)).basis.n == 0


def test_jobs_that_a_rerun_copied_shift_nothing(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    fill(database, shift_at=999)
    copies = []
    for number in range(1, 121):
        created_at = T0 - 20 * DAY_SECONDS + number * 3600
        own = number <= 60
        began = created_at + 4 if own else created_at - 9000
        copies.append(
            {
                "id": 8_000_000 + number, "run_id": 1000 + number, "run_attempt": 1, "repository_id": 1,
                "name": "copied", "status": "completed", "conclusion": "success", "created_at": created_at,
                "started_at": began, "completed_at": began + (100 if own else 300), "labels": "[]", "steps": "[]",
            }
        )  # fmt: skip
    put(database, jobs, *copies)
    assert regressions.regressions(database, window_of(database)).regressions == ()


def test_the_youngest_runs_of_which_only_failures_are_over_are_no_shift(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    rng = random.Random(3)
    rows = []
    for number in range(300):
        at = T0 - (300 - number) * 60
        failed = rng.random() < 0.25
        seconds = 60 if failed else 3000 + rng.randrange(200)
        if at + seconds <= T0:
            end = "failure" if failed else "success"
            times = {"created_at": at, "duration_seconds": seconds, "completed_at": at + seconds}
            rows.append(run_row(id=number + 1, run_number=number, conclusion=end, queue_seconds=5, **times))
    put(database, runs, *rows)
    found = regressions.regressions(database, window_of(database))
    assert (found.regressions, found.improvements) == ((), ())
    assert 100 < found.basis.n < 190
