"""GET /api/v1/builds/{build_id}"""

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run


def test_happy(api: Api) -> None:
    a_repository(api.db)
    run = a_run(api.db, pull_requests="[4]", run_number=77)
    job = a_job(api.db, run)
    found = api.get(f"/api/v1/builds/{run['id']}")
    assert (found["id"], found["run_number"], found["workflow_id"]) == (run["id"], 77, 7)
    assert found["commit"] == {
        "sha": run["sha"],
        "message": "Mend the door\n\nIt was stuck.",
        "author_name": "Ada Octo",
        "author_email": "ada@example.com",
        "committer_name": "GitHub",
        "committer_email": "noreply@github.com",
        "timestamp": "2025-10-09T07:52:20Z",
        "url": f"https://github.com/acme/shop-1/commit/{run['sha']}",
    }
    assert found["jobs"] == [
        {
            "id": job["id"],
            "name": "build",
            "status": "completed",
            "conclusion": "success",
            "started_at": "2025-10-09T07:53:24Z",
            "completed_at": "2025-10-09T07:55:20Z",
            "runner_name": "GitHub Actions 1",
            "runner_group_name": "GitHub Actions",
            "steps": [
                {
                    "name": "Check out",
                    "status": "completed",
                    "conclusion": "success",
                    "number": 1,
                    "started_at": "2025-10-09T07:53:24Z",
                    "completed_at": "2025-10-09T07:53:29Z",
                }
            ],
            "url": job["url"],
            "labels": ["ubuntu-latest"],
            "queue_seconds": 4,
            "failure": None,
        }
    ]
    assert found["cancel_url"] == f"{run['api_url']}/cancel"
    assert found["rerun_url"] == f"{run['api_url']}/rerun"
    assert found["logs_url"] == f"/api/v1/builds/{run['id']}/logs"
    assert (found["critical_path"], found["pull_requests"]) == (["build"], [4])
    assert found["attempts"] == [
        {
            "run_attempt": 1,
            "status": "completed",
            "conclusion": "success",
            "started_at": "2025-10-09T07:53:20Z",
            "duration_seconds": 120,
            "duration_source": "jobs",
        }
    ]


def test_without_jobs(api: Api) -> None:
    a_repository(api.db)
    found = api.get(f"/api/v1/builds/{a_run(api.db, status='queued')['id']}")
    assert (found["jobs"], found["critical_path"], found["duration_seconds"]) == ([], [], None)


def test_a_running_duration_ends_at_the_moment_of_its_own_repository(api: Api) -> None:
    a_repository(api.db, 1)
    a_repository(api.db, 2, last_success_at=T0 - 7000, due_by=T0 - 6000)
    run = a_run(api.db, status="in_progress", created_at=T0 - 60)
    assert api.get(f"/api/v1/builds/{run['id']}")["duration_seconds"] == 60


@pytest.mark.parametrize("build_id", ["1", str(2**63 - 1)])
def test_unknown_id_is_404(api: Api, build_id: str) -> None:
    a_repository(api.db)
    answer = api.open(f"/api/v1/builds/{build_id}")
    assert (answer.status_code, answer.get_json()["error"]["type"]) == (404, "not_found")


@pytest.mark.parametrize(
    "build_id", ["0", "-1", "abc", "1.0", "1e3", str(2**63), "9" * 26, "٣", "0x10", "%20", "1%00", "null"]
)
def test_M13_an_id_that_is_none_is_422(api: Api, build_id: str) -> None:
    answer = api.open(f"/api/v1/builds/{build_id}")
    assert answer.status_code == 422
    assert list(answer.get_json()["error"]["details"]) == ["build_id"]


def test_unknown_parameter(api: Api) -> None:
    answer = api.open("/api/v1/builds/1?include=jobs")
    assert (answer.status_code, list(answer.get_json()["error"]["details"])) == (422, ["include"])
    assert api.open("/api/v1/builds/1?_=5").status_code == 404
