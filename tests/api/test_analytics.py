"""GET /api/v1/analytics: arguments, frame, and a few stories told through the whole house."""

from typing import Any

import pytest

from pipemon.queries import recoveries
from pipemon.store.schema import coverage
from tests.api.analytics_shapes import ANALYTICS
from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run, a_workflow, bump, put

BASE = "/api/v1/analytics"
DAY = 86400
WINDOWS = sorted(set(ANALYTICS) - {f"{BASE}/definitions"})


@pytest.fixture
def told(api: Api) -> Api:
    """Main goes red twice, is mended, and is red again; a pull request fails besides; one build was rerun."""
    a_repository(api.db, last_success_at=T0, due_by=T0 + 10 * DAY)
    a_workflow(api.db, 7, "CI")
    put(api.db, coverage, {"repository_id": 1, "from_at": 0, "to_at": T0, "complete": True})
    at = T0 - 5 * 3600
    for number, end in enumerate(("success", "failure", "timed_out", "success", "failure", "cancelled")):
        run = a_run(api.db, id=100 + number, run_number=number, conclusion=end, created_at=at + number * 1800)
        a_job(api.db, run, conclusion=end)
    a_run(api.db, id=200, run_number=9, event="pull_request", conclusion="failure", author="Grace", branch="topic")
    for place in (8, 9):
        a_run(
            api.db,
            id=290 + place,
            run_number=-place,
            conclusion="success",
            created_at=T0 - place * DAY,
            duration_seconds=60,
        )
    bump(api.db)
    return api


def test_overview(told: Api) -> None:
    found = told.get(f"{BASE}/overview")
    assert (found["total_builds"], found["n"], found["success_rate"], found["failure_rate"]) == (7, 6, 33.33, 66.67)
    assert found["excluded"] == [{"reason": "cancelled", "count": 1}]
    assert found["coverage"] == {"complete": True, "gaps": []}
    assert (found["average_duration_minutes"], found["mttr_minutes"], found["builds_per_day"]) == (2.0, 60.0, 1.0)
    assert (found["most_active_branch"], found["most_active_author"]) == ("main", "Ada Octo")
    assert found["previous"]["total_builds"] == 2
    assert found["change"]["total_builds"] == {"absolute": 5.0, "relative": 250.0}
    assert found["change"]["average_duration_minutes"] == {"absolute": 1.0, "relative": 100.0}
    assert found["change"]["mttr_minutes"] is None
    assert set(found["unavailable"]) == {name for name, value in found.items() if value is None}


def test_nothing_is_compared_with_a_window_of_which_not_all_was_read(told: Api) -> None:
    told.db.transact(lambda conn: conn.execute(coverage.update().values(from_at=T0 - 9 * DAY)))
    bump(told.db)
    found = told.get(f"{BASE}/overview")
    assert (found["coverage"]["complete"], found["previous"]["complete"], found["change"]) == (True, False, None)
    gaps = told.get(f"{BASE}/trends")["coverage"]["gaps"]
    assert [(gap["repository"], gap["created_to"]) for gap in gaps] == [("acme/shop-1", "2025-09-30T08:53:20Z")]


def test_the_link_leads_to_the_builds_that_were_counted(told: Api) -> None:
    a_repository(told.db, 2, last_success_at=T0, due_by=T0 + 10 * DAY)
    a_workflow(told.db, 8, "Ship", repository_id=2)
    a_run(told.db, repository_id=2, workflow_id=8, conclusion="failure", branch="other")
    bump(told.db)
    for query, count in (
        ("", 8), ("?repo=acme/shop-1", 7), ("?repo=acme/shop-2", 1), ("?include_pull_requests=false", 7),
        ("?branch=topic", 1), ("?repo=acme/shop-1&event=push&workflow=CI", 6),
    ):  # fmt: skip
        found = told.get(f"{BASE}/overview{query}")
        assert found["total_builds"] == count
        assert told.get(found["builds_url"])["total_count"] == count, query
    red = told.get(f"{BASE}/failures")
    for share in red["failure_by_branch"] + red["failure_by_author"]:
        assert told.get(share["builds_url"])["total_count"] == share["failures"]
    for one in told.get(f"{BASE}/workflows/comparison")["workflows"]:
        assert told.get(one["builds_url"])["total_count"] == one["total_runs"]


def test_pull_requests_can_be_left_out_and_are_counted_as_such(told: Api) -> None:
    found = told.get(f"{BASE}/failures?include_pull_requests=false")
    assert (found["total_failures"], found["failure_rate"]) == (3, 42.86)
    assert {"reason": "pull_request", "count": 1} in found["excluded"]


def test_mttr(told: Api) -> None:
    found = told.get(f"{BASE}/mttr")
    assert (found["overall_mttr_minutes"], found["total_incidents"], found["total_failures"]) == (60.0, 3, 4)
    closed = [one for one in found["failure_incidents"] if one["recovery_time"]]
    assert [(one["failure_id"], one["failures"], one["recovered_by"], one["last_green"]) for one in closed] == [
        (101, 2, 103, 100)
    ]
    assert {one["failure_id"] for one in found["open_incidents"]} == {104, 200}
    assert all(one["age_minutes"] > 0 for one in found["open_incidents"])
    assert sum(point["n"] for point in found["weekly_mttr"]) == 1
    assert (found["n"], found["excluded"]) == (1, [{"reason": "open", "count": 2}])
    assert told.get(found["builds_url"])["total_count"] == found["total_failures"]
    assert told.get(f"{BASE}/overview")["recovered_incidents"] == 1
    assert told.get(f"{BASE}/incidents")["incidents"] == found["failure_incidents"]


def test_only_so_many_incidents_are_listed_and_all_are_counted(told: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoveries, "MOST_LISTED", 1)
    found = told.get(f"{BASE}/mttr")
    assert (len(found["failure_incidents"]), len(found["open_incidents"]), found["total_incidents"]) == (1, 1, 3)
    assert found["overall_mttr_minutes"] == 60.0


def test_failures(told: Api) -> None:
    found = told.get(f"{BASE}/failures")
    assert [(one["branch"], one["failures"]) for one in found["failure_by_branch"]] == [("main", 3), ("topic", 1)]
    assert [(one["author"], one["total_builds"]) for one in found["failure_by_author"]] == [
        ("Ada Octo", 8),
        ("Grace", 1),
    ]
    assert [one["build_id"] for one in found["recent_failures"]][:2] == [200, 104]
    assert [(one["name"], one["failures"]) for one in found["failing_jobs"]] == [("build", 3)]
    assert found["failing_steps"] == []
    (flaky,) = found["flaky_jobs"]
    assert (flaky["name"], flaky["n"], flaky["flake_rate"]) == ("build", 1, 100.0)
    at = T0 - 1800
    run = a_run(told.db, id=300, run_number=300, conclusion="failure", created_at=at)
    a_job(told.db, run, conclusion="failure", steps=[[1, "Test", "completed", "failure", at, at + 5]])
    bump(told.db)
    found = told.get(f"{BASE}/failures")
    (step,) = found["failing_steps"]
    assert (step["workflow"], step["job"], step["name"], step["failures"], step["last_build_id"]) == (
        "CI", "build", "Test", 1, 300,
    )  # fmt: skip
    for one in (step, *found["failing_jobs"]):
        assert one["failures"] < found["total_failures"] == 5
    assert [build["id"] for build in told.get(found["failing_jobs"][0]["builds_url"])["builds"]] == [300, 104, 102, 101]
    assert told.get(step["builds_url"])["total_count"] == 4  # those in which its job failed


@pytest.mark.parametrize(
    ("asked", "told_", "periods"), [("weekly", "weekly", 2), ("hourly", "hourly", 169), ("", "daily", 8)]
)
def test_trends_by_the_length_that_was_asked(told: Api, asked: str, told_: str, periods: int) -> None:
    found = told.get(f"{BASE}/trends?lookback_days=7&tz=Asia/Kathmandu&granularity={asked}")
    assert (found["granularity"], len(found["success_trend"]), found["tz"]) == (told_, periods, "Asia/Kathmandu")
    assert sum(point["n"] for point in found["success_trend"]) == found["n"] == 6


def test_the_workflows_side_by_side_say_what_they_cost(told: Api) -> None:
    (one,) = told.get(f"{BASE}/workflows/comparison")["workflows"]
    found = told.get(f"{BASE}/cost")
    assert (one["billable_minutes"], one["estimated_cost"]) == (found["billable_minutes"], found["estimated_cost"])
    assert one["billable_minutes"] == 12


def test_performance(told: Api) -> None:
    found = told.get(f"{BASE}/performance")
    assert (found["n"], found["fastest_build_minutes"], found["slowest_build_minutes"]) == (8, 1.0, 2.0)
    assert (found["median_duration_minutes"], found["queue_minutes"]["median"]) == (2.0, 0.07)
    (job,), (step,) = found["slowest_jobs"], found["slowest_steps"]
    assert (job["name"], job["n"], job["average_minutes"], job["critical_path_share"]) == ("build", 5, 1.93, 100.0)
    assert job["exclusive_minutes"] == 1.93
    assert (step["job"], step["name"], step["average_minutes"], step["critical_path_share"]) == (
        "build", "Check out", 0.08, 4.31
    )  # fmt: skip
    for one in (job, step):
        assert told.get(one["builds_url"])["total_count"] == one["n"] == 5
    assert len(found["bottlenecks"]) == 8


@pytest.mark.parametrize("path", WINDOWS)
def test_wrong_input_names_the_field(api: Api, path: str) -> None:
    a_repository(api.db)
    wrong = {"lookback_days": ("0", "731", "-1", "x", ""), "include_pull_requests": ("yes", "1", ""), "what": ("1",)}
    wrong |= {"tz": ("Mars/Base", "../etc/passwd", "UTC+1"), "granularity": ("yearly",), "format": ("xml",)}
    wrong |= {"repo": ("acme/none",)}
    for name, values in wrong.items():
        for value in values:
            answer: Any = api.open(f"{path}?{name}={value}")
            assert answer.status_code == 422, (name, value)
            assert name in str(answer.get_json()["error"]["details"])


def test_the_bucket_is_a_minute_whatever_runs(told: Api) -> None:
    a_run(told.db, status="in_progress")
    bump(told.db)
    told.clock.now = T0 + 15
    assert told.get(f"{BASE}/overview")["timestamp"] == "2025-10-09T08:53:00Z"
