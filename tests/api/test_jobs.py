"""GET /api/v1/analytics/flaky, queue and cost."""

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run, a_workflow, bump

BASE = "/api/v1/analytics"
FAILED_STEP = [[1, "Test", "completed", "failure", T0, T0]]


@pytest.fixture
def told(api: Api) -> Api:
    """One commit, tried twice: `test` fails, then succeeds; `lint` succeeds and is copied; one job met no runner."""
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    at = T0 - 3600
    run = a_run(api.db, id=1, run_attempt=2, created_at=at)
    a_job(api.db, run, name="test", run_attempt=1, conclusion="failure", steps=FAILED_STEP)
    a_job(
        api.db, run, name="test", labels=["macos-14"], created_at=at + 600, started_at=at + 690, completed_at=at + 751
    )
    a_job(api.db, run, name="lint", run_attempt=1, created_at=at, started_at=at + 10, completed_at=at + 70)
    a_job(api.db, run, name="lint", created_at=at + 600, started_at=at + 10, completed_at=at + 70)
    other = a_run(api.db, id=2, conclusion="failure", sha="b" * 40, created_at=at)
    a_job(api.db, other, name="lint", conclusion="failure", runner_name="", steps=[], labels=["mine"])
    bump(api.db)
    return api


def test_flaky(told: Api) -> None:
    found = told.get(f"{BASE}/flaky")
    assert (found["n"], found["flaky"], found["flake_rate"], found["period_days"]) == (2, 1, 50.0, 14)
    assert (found["platform_failures"], found["excluded"]) == (1, [{"reason": "platform", "count": 1}])
    test, lint = found["flaky_jobs"]
    assert (test["name"], test["flake_rate"], test["flake_rate_low"], test["flake_rate_high"]) == (
        "test", 100.0, 20.65, 100.0
    )  # fmt: skip
    assert test["commits"] == [{"commit_sha": "0123456", "failed_build_id": 1, "succeeded_build_id": 1}]
    assert (lint["name"], lint["flaky"], lint["platform_failures"]) == ("lint", 0, 1)
    assert [build["id"] for build in told.get(test["builds_url"])["builds"]] == [1]


def test_the_links_of_what_is_counted_over_jobs_show_builds_that_run(told: Api) -> None:
    run = a_run(told.db, id=3, status="in_progress", sha="0123456789abcdef0123456789abcdef01234567")
    a_job(told.db, run, name="test", conclusion="failure", steps=FAILED_STEP)
    bump(told.db)
    for path, table in (("flaky", "flaky_jobs"), ("queue", None), ("cost", "workflows")):
        found = told.get(f"{BASE}/{path}")
        assert told.get(found["builds_url"])["total_count"] == 3, path
        if table is not None:
            assert 3 in [build["id"] for build in told.get(found[table][0]["builds_url"])["builds"]], path


def test_queue(told: Api) -> None:
    found = told.get(f"{BASE}/queue?tz=Europe/Berlin")
    assert found["excluded"] == [{"reason": "copied_by_a_rerun", "count": 1}]
    assert found["whole"] == {
        "n": 4,
        "median_seconds": 7.0,
        "p90_seconds": 66.0,
        "p95_seconds": 78.0,
        "max_seconds": 90,
    }
    assert [(one["labels"], one["n"]) for one in found["labels"]] == [
        (["ubuntu-latest"], 2), (["macos-14"], 1), (["mine"], 1),
    ]  # fmt: skip
    assert [hour["n"] for hour in found["hours"]] == [0] * 9 + [3, 1] + [0] * 13


def test_cost(told: Api) -> None:
    found = told.get(f"{BASE}/cost")
    # test: 116 s failed, 61 s on a Mac; lint: 60 s once; 116 s of a runner without a price.
    assert (found["minutes"], found["billable_minutes"], found["unpriced_minutes"], found["n"]) == (7, 5, 2, 4)
    assert (found["estimated_cost"], found["wasted_cost"], found["useful_cost"]) == (0.14, 0.01, 0.13)
    assert {name: part["minutes"] for name, part in found["wasted"].items()} == {
        "failed": 4, "cancelled": 0, "rerun": 0, "superseded": 0,
    }  # fmt: skip
    assert [(one["labels"], one["price_per_minute"]) for one in found["labels"]] == [
        (["macos-14"], 0.062), (["ubuntu-latest"], 0.006), (["mine"], None),
    ]  # fmt: skip
    assert found["excluded"] == [{"reason": "minutes_without_a_price", "count": 2}]
    assert found["currency"] == "USD"
