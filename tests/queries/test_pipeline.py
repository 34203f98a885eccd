"""The pipeline's numbers, against the same ones computed the slow way over random rows, on both engines."""

import statistics
from typing import Any

import pytest

from pipemon.queries import pipeline
from pipemon.queries.deployments import DeploymentRule
from pipemon.store.engine import Database
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.worlds import FAILED, World, make_world
from tests.rows import a_job, a_repository, a_run, a_workflow

DAY = 86400
RULE = DeploymentRule(("*deploy*",))


def decisive(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["conclusion"] == "success" or row["conclusion"] in FAILED]


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_the_slow_way(database: Database, seed: int) -> None:
    world = make_world(database, seed)
    scope = everything(database, created_from=T0 - DAY, created_to=T0, exclude_workflows=("exclu*",))
    found = pipeline.metrics(database, scope, 1, NOW)
    rows = [row for row in world.kept(exclude=(10,), status="completed") if T0 - DAY <= row["created_at"] < T0]
    durations = [row["duration_seconds"] for row in decisive(rows) if row["duration_seconds"] is not None]
    assert found.outcomes == pipeline.Outcomes(
        len(rows),
        sum(row["conclusion"] == "success" for row in rows),
        sum(row["conclusion"] in FAILED for row in rows),
    )
    assert found.durations.n == len(durations) > 10
    assert found.durations.mean == pytest.approx(statistics.mean(durations))
    assert found.durations.median == pytest.approx(statistics.median(durations))
    assert found.durations.p95 == pytest.approx(statistics.quantiles(durations, n=20, method="inclusive")[-1])
    assert (found.durations.smallest, found.durations.largest) == (min(durations), max(durations))
    assert found.builds_per_day == len(rows)


@pytest.mark.parametrize("seed", range(3))
def test_overview_equals_the_slow_way(database: Database, seed: int) -> None:
    world = make_world(database, seed)
    scope = everything(database, created_from=T0 - DAY, created_to=T0)
    found = pipeline.overview(database, scope, RULE, NOW)
    rows = [row for row in world.kept(status="completed") if row["created_at"] >= T0 - DAY]
    good, bad = sum(row["conclusion"] == "success" for row in rows), sum(row["conclusion"] in FAILED for row in rows)
    assert (found.outcomes.total, found.outcomes.succeeded, found.outcomes.failed) == (len(rows), good, bad)
    assert found.outcomes.success_rate == round(100 * good / (good + bad), 2)
    open_runs = [row["status"] for row in world.kept()]
    assert found.queue.activity.running_count == open_runs.count("in_progress")
    assert found.queue.activity.queued_count == sum(
        open_runs.count(word) for word in ("queued", "pending", "requested")
    )
    assert found.queue.activity.waiting_count == open_runs.count("waiting")
    running = sorted(world.kept(status="in_progress"), key=lambda row: (-row["started_at"], -row["id"]))
    assert [run.id for run in found.running] == [row["id"] for row in running]
    assert [one.id for one in found.deployments] == slow_deployments(world)
    assert found.status == "running"


def slow_deployments(world: World) -> list[int]:
    """The five newest successful runs of "Deploy site" on a default branch of the repository itself."""
    ours = {1: ("acme/shop-1", "main"), 2: ("acme/renamed", "trunk")}
    rows = [
        row
        for row in world.kept(workflow_id=8, conclusion="success")
        if (row["head_repository"] or "").lower()
        in (ours[row["repository_id"]][0], f"acme/shop-{row['repository_id']}")
        and row["branch"] == ours[row["repository_id"]][1]
        and row["event"] != "pull_request"
        and row["completed_at"] is not None
    ]
    rows.sort(key=lambda row: (row["completed_at"], row["id"]), reverse=True)
    return [row["id"] for row in rows[:5]]


@pytest.mark.parametrize("seed", range(2))
def test_status_equals_the_slow_way(database: Database, seed: int) -> None:
    world = make_world(database, seed)
    found = pipeline.status(database, everything(database), NOW)
    newest = max(world.kept(status="completed"), key=lambda row: (row["started_at"], row["id"]))
    assert found.last_run == pipeline.LastRun(newest["conclusion"], newest["completed_at"], newest["duration_seconds"])
    recent = [row for row in world.kept() if row["created_at"] >= T0 - DAY or row["status"] != "completed"]
    assert list(found.branches) == sorted({row["branch"] for row in recent if row["branch"]})


def test_an_empty_database(database: Database) -> None:
    a_repository(database)
    scope = everything(database, created_from=0, created_to=T0)
    assert pipeline.metrics(database, scope, 1, NOW).outcomes == pipeline.Outcomes(0, 0, 0)
    found = pipeline.overview(database, scope, RULE, NOW)
    assert (found.status, found.outcomes.success_rate, found.newest_current) == ("idle", 0.0, None)
    assert found.queue.wait_seconds is None
    assert pipeline.status(database, scope, NOW).last_run is None


def test_jobs_are_counted_of_the_latest_attempt_of_unfinished_runs(database: Database) -> None:
    a_repository(database)
    run = a_run(database, status="in_progress", run_attempt=2)
    a_job(database, run, status="in_progress")
    a_job(database, run, status="queued")
    a_job(database, run, status="pending")
    a_job(database, run, status="completed")
    a_job(database, run, status="queued", run_attempt=1)
    a_job(database, a_run(database), status="queued")  # its run is over: the job's end was never seen
    jobs = pipeline.status(database, everything(database), NOW).jobs
    assert (jobs.running_count, jobs.queued_count) == (1, 2)


STORIES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("nothing", [], "idle"),
    ("one succeeded", [{}], "success"),
    ("main is red", [{"conclusion": "failure"}], "failed"),
    ("timed out is failed", [{"conclusion": "timed_out"}], "failed"),
    ("red, then mended", [{"conclusion": "failure"}, {}], "success"),
    ("red, then cancelled: still red", [{"conclusion": "failure"}, {"conclusion": "cancelled"}], "failed"),
    ("another workflow mends nothing", [{"conclusion": "failure"}, {"workflow_id": 8}], "failed"),
    ("a branch may be red", [{}, {"conclusion": "failure", "branch": "topic"}], "success"),
    ("a fork's main is not main", [{}, {"conclusion": "failure", "head_repository": "evil/shop"}], "success"),
    ("nor is a deleted fork's", [{}, {"conclusion": "failure", "head_repository": None}], "success"),
    ("nor a pull request's", [{}, {"conclusion": "failure", "event": "pull_request"}], "success"),
    ("cancelled last", [{}, {"conclusion": "cancelled"}], "cancelled"),
    ("skipped is no news", [{}, {"conclusion": "skipped"}], "success"),
    ("an unknown word is not green", [{"conclusion": "marvellous"}], "idle"),
    ("only a branch, red", [{"conclusion": "failure", "branch": "topic"}], "idle"),
    ("queued", [{"conclusion": "failure"}, {"status": "queued"}], "running"),
    ("waiting for approval is not running", [{"conclusion": "failure"}, {"status": "waiting"}], "failed"),
    ("gone on GitHub", [{}, {"conclusion": "failure", "deleted_at": T0}], "success"),
    ("an excluded workflow", [{}, {"conclusion": "failure", "workflow_id": 9}], "success"),
    ("a repository that is not watched", [{}, {"conclusion": "failure", "repository_id": 2}], "success"),
]


@pytest.mark.parametrize(("story", "expected"), [story[1:] for story in STORIES], ids=[story[0] for story in STORIES])
def test_status_word(database: Database, story: list[dict[str, Any]], expected: str) -> None:
    a_repository(database)
    a_repository(database, 2, watched=False)
    for workflow_id, name in ((7, "CI"), (8, "Deploy"), (9, "Nightly")):
        a_workflow(database, workflow_id, name)
    for place, over in enumerate(story):
        a_run(database, created_at=T0 - 5000 + place * 100, run_number=place, **over)
    scope = everything(database, exclude_workflows=("night*",))
    assert pipeline.status(database, scope, NOW).status == expected
