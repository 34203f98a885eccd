"""Slow jobs and steps, and steps that fail, over random rows the slow way; on both engines."""

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from pipemon.analytics.bottlenecks import JobRun, parts
from pipemon.queries import bottlenecks, whole
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database
from pipemon.store.schema import jobs
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.test_analytics import decisive
from tests.queries.test_jobs import BEGIN, make
from tests.queries.worlds import FAILED, NAMES, World
from tests.rows import a_job, a_repository, a_run, a_workflow, change

Row = dict[str, Any]

STORED = ("name", "started_at", "completed_at", "steps")


def newest(world: World, most: int) -> list[Row]:
    rows = [row for row in world.kept(exclude=(10,), status="completed") if BEGIN <= row["created_at"] < T0]
    return sorted(decisive(rows), key=lambda row: (-row["created_at"], -row["id"]))[:most]


def really_ran(run: Row, job: Row) -> bool:
    if job["run_attempt"] != run["run_attempt"] or job["status"] != "completed" or job["conclusion"] == "skipped":
        return False
    if job["started_at"] is None or job["completed_at"] < job["started_at"]:
        return False
    empty = job["conclusion"] == "cancelled" and job["steps"] == "[]"
    return job["started_at"] >= run["started_at"] - 2 and not empty


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most", [20, 500])
def test_slow_jobs_equal_the_slow_way(database: Database, seed: int, most: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(bottlenecks, "MOST_RUNS", most)
    monkeypatch.setattr(bottlenecks, "MOST_ROWS", 1000)
    world, done = make(database, seed)
    scope = everything(database, created_from=BEGIN, created_to=T0, exclude_workflows=("exclu*",))
    found = bottlenecks.bottlenecks(database, scope)
    slow: dict[tuple[str, str], list[tuple[int, bool, int]]] = defaultdict(list)
    runs = 0
    for run in newest(world, most):
        ran = [job for job in done if job["run_id"] == run["id"] and really_ran(run, job)]
        runs += bool(ran)
        own = [JobRun(run["workflow_id"], run["id"], *(job[name] for name in STORED)) for job in ran]
        for workflow_id, name, took, exclusive, *_ in parts(own) if own else ():
            slow[NAMES[workflow_id], name].append((took, exclusive is not None, exclusive or 0))
    assert (found.runs, len(found.jobs)) == (runs, len(slow))
    for one in found.jobs:
        own = slow[one.workflow, one.name]
        assert one.n == len(own)
        assert one.seconds == pytest.approx(sum(took for took, _, _ in own) / len(own))
        assert one.critical_share == pytest.approx(100 * sum(on for _, on, _ in own) / len(own), abs=0.01)
        assert one.exclusive_seconds == pytest.approx(sum(won for _, _, won in own) / len(own))
    sums = [one.exclusive_seconds * one.n for one in found.jobs]
    assert sums == pytest.approx(sorted(sums, reverse=True))


def test_a_job_that_is_told_otherwise_is_counted_otherwise(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 1, "CI")
    run = a_run(database, workflow_id=1, created_at=T0 - 60, started_at=T0 - 60)
    job = a_job(
        database, run, started_at=T0 - 50, completed_at=T0 - 40, steps=[[1, "Test", "completed", "success", 0, 7]]
    )
    scope = everything(database, created_from=BEGIN, created_to=T0)

    def told() -> tuple[float, float]:
        found = bottlenecks.bottlenecks(database, scope)
        return found.jobs[0].seconds, found.steps[0].seconds

    assert told() == (10, 7)
    change(database, jobs.update().where(jobs.c.id == job["id"]).values(completed_at=T0 - 30))
    assert told() == (20, 7)
    steps = json.dumps([[1, "Test", "completed", "success", 0, 9]])
    change(database, jobs.update().where(jobs.c.id == job["id"]).values(steps=steps))
    assert told() == (20, 9)


@pytest.mark.parametrize("seed", range(3))
def test_failing_steps_equal_the_slow_way(database: Database, seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(bottlenecks, "MOST_ROWS", 1000)
    world, done = make(database, seed)
    window = Window(everything(database, created_from=BEGIN, created_to=T0, exclude_workflows=("exclu*",)), 2, NOW)
    red = {row["id"]: row for row in newest(world, 10**6) if row["conclusion"] in FAILED}
    slow: Counter[tuple[str, str, str]] = Counter()
    for job in done:
        run = red.get(job["run_id"])
        if run is None or job["run_attempt"] != run["run_attempt"] or job["conclusion"] not in FAILED:
            continue
        failed = [step for step in json.loads(job["steps"]) if step[3] in ("failure", "timed_out")]
        if failed:
            slow[NAMES[run["workflow_id"]], job["name"], min(failed)[1]] += 1
    found = whole.failures(database, window).steps
    assert {(one.workflow, one.job, one.name): one.failed for one in found} == slow
    assert [one.failed for one in found] == sorted(slow.values(), reverse=True)


def test_flaky_jobs_of_failures_are_of_the_last_two_weeks(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    for place, days in enumerate((1, 20)):
        for end in ("failure", "success"):
            run = a_run(database, created_at=T0 - days * DAY_SECONDS, sha=str(place) * 40)
            steps = [[1, "Test", "completed", end, T0, T0]]
            a_job(database, run, name=f"job {days}", conclusion=end, steps=steps)
    scope = everything(database, created_from=T0 - 30 * DAY_SECONDS, created_to=T0)
    assert [one.name for one in whole.failures(database, Window(scope, 30, NOW)).flaky] == ["job 1"]
