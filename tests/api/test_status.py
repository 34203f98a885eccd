"""GET /api/v1/pipeline/status"""

from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run

PATH = "/api/v1/pipeline/status"


def test_happy(api: Api) -> None:
    a_repository(api.db, 1)
    a_repository(api.db, 2, last_success_at=T0 - 40, interval_seconds=300)
    a_run(api.db, conclusion="failure", branch="topic")
    run = a_run(api.db, status="in_progress", created_at=T0 - 60)
    a_job(api.db, run, status="in_progress")
    a_job(api.db, run, status="queued")
    found = api.get(PATH)
    assert (found["overall_status"], found["running_jobs"], found["queued_jobs"]) == ("running", 1, 1)
    assert found["last_run_status"] == {
        "conclusion": "failure",
        "completed_at": "2025-10-09T07:55:20Z",
        "duration_seconds": 120,
    }
    assert found["active_branches"] == ["main", "topic"]
    sync = found["sync"]
    assert (sync["last_success_at"], sync["lag_seconds"]) == ("2025-10-09T08:52:40Z", 40)
    assert sync["rate_limit"] == {"limit": 5000, "remaining": 4321, "reset_at": "2025-10-09T09:08:20Z"}
    assert sync["repositories"][1] == {
        "name": "acme/shop-2",
        "interval_seconds": 300,
        "last_success_at": "2025-10-09T08:52:40Z",
        "data_state": "fresh",
    }


def test_empty(api: Api) -> None:
    api.limits = None
    found = api.get(PATH)
    assert (found["overall_status"], found["last_run_status"], found["active_branches"]) == ("idle", None, [])
    assert found["sync"] == {
        "last_success_at": None,
        "lag_seconds": None,
        "rate_limit": {"limit": None, "remaining": None, "reset_at": None},
        "repositories": [],
    }
    assert found["data_state"] == "never"


def test_a_repository_that_was_never_read_is_not_fresh(api: Api) -> None:
    a_repository(api.db, 1, last_success_at=None, due_by=None)
    a_repository(api.db, 2)
    assert api.get(PATH)["data_state"] == "never"
    assert api.get(f"{PATH}?repo=acme/shop-2")["data_state"] == "fresh"


def test_an_overdue_repository_is_stale_and_its_lag_grows(api: Api) -> None:
    a_repository(api.db, due_by=T0 + 30)
    api.clock.now = T0 + 40
    found = api.get(PATH)
    assert (found["data_state"], found["timestamp"]) == ("stale", "2025-10-09T08:53:10Z")
    api.clock.now = T0 + 600
    assert api.get(PATH)["sync"]["lag_seconds"] > found["sync"]["lag_seconds"] + 500


def test_wrong_input(api: Api) -> None:
    assert api.open(f"{PATH}?lookback_minutes=60").status_code == 422
    assert api.open(f"{PATH}?repo=acme/other").status_code == 422
