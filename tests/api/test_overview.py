"""GET /api/v1/pipeline/overview"""

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run, a_workflow

PATH = "/api/v1/pipeline/overview"


def test_happy(api: Api) -> None:
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    a_workflow(api.db, 8, "Release")
    a_run(api.db, created_at=T0 - 1800, conclusion="failure")
    a_run(api.db, created_at=T0 - 1700, conclusion="cancelled")
    a_run(api.db, created_at=T0 - 9000)
    message = "x" * 150 + "\nmore"
    deployed = a_run(api.db, created_at=T0 - 1600, workflow_id=8, commit_message=message)
    running = a_run(api.db, created_at=T0 - 60, status="in_progress", workflow_id=7)
    a_job(api.db, running)
    a_job(api.db, running, status="queued", started_at=None, labels=["ubuntu-latest"])
    a_run(api.db, created_at=T0 - 20, status="queued")
    found = api.get(PATH)
    assert found["status"] == "running"
    assert (found["success_rate"], found["failure_rate"], found["n"]) == (50.0, 50.0, 2)
    assert (found["total_runs_analyzed"], found["success_count"], found["failure_count"]) == (3, 1, 1)
    assert found["queue_status"] == {
        "queued_count": 1,
        "running_count": 1,
        "waiting_count": 0,
        "estimated_wait_time": 0.07,
    }
    assert found["recent_deployments"] == [
        {
            "id": deployed["id"],
            "commit_sha": "0123456",
            "commit_message": "x" * 100,
            "author": "Ada Octo",
            "deployed_at": "2025-10-09T08:28:40Z",
            "status": "success",
            "duration_seconds": 120,
            "environment": None,
            "url": deployed["url"],
        }
    ]
    current = found["current_build"]
    assert found["current_builds"] == [current]
    assert (current["id"], current["status"], current["commit_sha"]) == (running["id"], "in_progress", "0123456")
    assert (current["jobs_completed"], current["jobs_total"], current["progress_percent"]) == (1, 2, 50.0)
    assert (found["timestamp"], found["data_state"]) == ("2025-10-09T08:53:20Z", "fresh")


def test_empty(api: Api) -> None:
    a_repository(api.db)
    found = api.get(PATH)
    assert (found["status"], found["success_rate"], found["failure_rate"]) == ("idle", 0.0, 0.0)
    assert (found["total_runs_analyzed"], found["n"]) == (0, 0)
    assert (found["recent_deployments"], found["current_build"], found["current_builds"]) == ([], None, [])
    assert found["queue_status"]["estimated_wait_time"] is None


def test_window_is_half_open_and_ends_at_the_timestamp(api: Api) -> None:
    """With nothing running the buckets are minutes: T0 is 20 seconds into one."""
    a_repository(api.db)
    end = T0 - 20
    for created_at in (end - 601, end - 600, end - 1, end, T0):
        a_run(api.db, created_at=created_at)
    found = api.get(f"{PATH}?lookback_minutes=10")
    assert found["timestamp"] == "2025-10-09T08:53:00Z"
    assert found["total_runs_analyzed"] == 2


def test_repo(api: Api) -> None:
    a_repository(api.db, 1)
    a_repository(api.db, 2)
    a_run(api.db, created_at=T0 - 900)
    a_run(api.db, created_at=T0 - 900, repository_id=2, conclusion="failure")
    assert api.get(PATH)["total_runs_analyzed"] == 2
    assert api.get(f"{PATH}?repo=acme/shop-1")["success_rate"] == 100.0
    assert api.get(f"{PATH}?repo=ACME/Shop-2")["success_rate"] == 0.0
    assert api.get(f"{PATH}?repo=acme/shop-1&repo=acme/shop-2")["success_rate"] == 50.0


def test_excluded_workflows_are_in_no_answer(make_api: object) -> None:
    api: Api = make_api(exclude_workflows=("night*",))  # type: ignore[operator]
    a_repository(api.db)
    a_workflow(api.db, 9, "Nightly")
    run = a_run(api.db, created_at=T0 - 900, workflow_id=9)
    assert api.get(PATH)["total_runs_analyzed"] == 0
    assert api.get("/api/v1/builds")["builds"] == []
    assert api.open(f"/api/v1/builds/{run['id']}").status_code == 404


@pytest.mark.parametrize(
    "query", ["lookback_minutes=0", "lookback_minutes=525601", "lookback_minutes=x", "lookback_minutes=", "lookback=5"]
)
def test_wrong_input(api: Api, query: str) -> None:
    answer = api.open(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert list(answer.get_json()["error"]["details"]) == [query.partition("=")[0]]
