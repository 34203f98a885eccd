"""GET /api/v1/analytics/dora, and the four keys in the overview."""

from typing import Any

import pytest

from pipemon.domain.deployments import Commit, Comparison
from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from pipemon.store import deployments
from pipemon.store.schema import coverage
from tests.api.conftest import Api
from tests.builders import T0, a_deployment
from tests.rows import a_repository, a_run, bump, put

DORA = "/api/v1/analytics/dora"
OVERVIEW = "/api/v1/analytics/overview"
DAY = 86400


@pytest.fixture
def told(api: Api) -> Api:
    """Production: V1, V2, V3 with two commits, back to V1; then V4, and one more that fails. Staging has one."""
    a_repository(api.db, last_success_at=T0, due_by=T0 + 10 * DAY)
    put(api.db, coverage, {"repository_id": 1, "from_at": 0, "to_at": T0, "complete": True})
    shas = {1: "a", 2: "b", 3: "c", 4: "a", 5: "d", 6: "e"}
    made = [
        a_deployment("failure" if n == 6 else "success", id=n, sha=sha * 40, created_at=T0 - 6 * DAY + n * 7200)
        for n, sha in shas.items()
    ]
    made.append(a_deployment("success", id=9, environment="staging", created_at=T0 - DAY))
    commits = (Commit("c" * 40, T0 - 6 * DAY, "Mend"), Commit("f" * 40, T0 - 7 * DAY, "Merge", None, True))
    told = Deployed(
        tuple(made),
        {one.id: one.updated_at for one in made},
        comparisons={3: Comparison("b" * 40, "ahead", 2, 0, commits)},
    )
    api.db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=told), T0))
    api.db.transact(lambda conn: deployments.record_read(conn, 1, T0, True))
    a_run(api.db)
    bump(api.db)
    return api


def test_dora(told: Api) -> None:
    found = told.get(f"{DORA}?lookback_days=7")
    assert (found["deployments"], found["changes"], found["failed_changes"], found["n"]) == (5, 5, 2, 5)
    assert (found["deployment_frequency_per_day"], found["deploy_days_per_week"]) == (0.71, 1.0)
    assert found["lead_time_minutes"] == {"n": 1, "median": 361.0, "p90": 361.0}
    assert (found["change_failure_rate"], found["time_to_restore_minutes"]) == (40.0, 240.0)
    assert found["dora_level"] == {
        "deployment_frequency": "high", "lead_time": "elite", "change_failure_rate": "medium",
        "time_to_restore": "elite",
    }  # fmt: skip
    assert found["excluded"] == [{"reason": "rollback", "count": 1}]
    assert (found["unavailable"], found["coverage"]["complete"]) == ({}, True)
    production, staging = found["environments"]
    assert (production["environment"], production["production"], staging["production"]) == ("production", True, False)
    assert [(one["deployment_id"], one["why"], one["marked_by"]) for one in production["change_failures"]] == [
        (6, "ended_in_failure", None),
        (2, "rolled_back", 4),
    ]
    assert [one["deployment_id"] for one in production["open_failures"]] == [6]
    assert production["kinds"] == {"first": 1, "change": 4, "rollback": 1}
    assert production["without_lead_time"] == {"first": 1, "range_not_read_yet": 2, "rollback": 1}
    assert told.get(production["deployments_url"])["total_count"] == 6


def test_one_environment(told: Api) -> None:
    found = told.get(f"{DORA}?environment=staging")
    assert (found["deployments"], len(found["environments"])) == (1, 1)
    assert set(found["unavailable"]) == {"lead_time_minutes", "change_failure_rate", "time_to_restore_minutes"} - {
        "change_failure_rate"
    }


def test_csv(told: Api) -> None:
    answer = told.open(f"{DORA}?format=csv&lookback_days=7")
    names, production, staging = answer.text.splitlines()
    assert answer.mimetype == "text/csv"
    cells = dict(zip(names.split(","), production.split(","), strict=True))
    assert (cells["environment"], cells["lead_time_minutes_median"], cells["level_lead_time"]) == (
        "production",
        "361.0",
        "elite",
    )
    assert staging.split(",")[names.split(",").index("lead_time_minutes_median")] == ""


def test_the_overview_has_the_keys_of_production(told: Api) -> None:
    found, own = told.get(OVERVIEW), told.get(f"{DORA}?lookback_days=7")
    for name in ("deployment_frequency_per_day", "lead_time_minutes", "change_failure_rate", "time_to_restore_minutes",
                 "dora_level"):  # fmt: skip
        assert found[name] == own[name]
        assert found["definitions"][name] == own["definitions"][name]
    assert found["previous"]["deployment_frequency_per_day"] == 0
    assert found["unavailable"] == {}


def test_the_keys_move_against_the_window_before(told: Api) -> None:
    before = a_deployment("success", id=20, sha="f" * 40, created_at=T0 - 9 * DAY)
    told.db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed((before,), {20: before.updated_at})), T0))
    a_run(told.db, created_at=T0 - 8 * DAY)
    bump(told.db)
    change = told.get(f"{DORA}?lookback_days=7")["change"]
    assert change["deployment_frequency_per_day"] == {"absolute": 0.57, "relative": 407.14}
    assert (change["lead_time_minutes"], change["change_failure_rate"]["absolute"]) == (None, 40.0)
    assert told.get(OVERVIEW)["change"]["deployment_frequency_per_day"] == change["deployment_frequency_per_day"]
    # Of one that may have failed or not, nothing was read yet: no number of its window is compared with.
    unread = a_deployment("success", id=21, sha="9" * 40, created_at=T0 - 10 * DAY)
    told.db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed((unread,), {})), T0))
    bump(told.db)
    assert told.get(f"{DORA}?lookback_days=7")["change"] is None
    assert told.get(OVERVIEW)["change"]["deployment_frequency_per_day"] is None


@pytest.mark.parametrize("query", ["branch=main", "workflow=CI", "event=push"])
def test_deployments_are_of_no_branch(told: Api, query: str) -> None:
    found = told.get(f"{OVERVIEW}?{query}")
    assert found["deployment_frequency_per_day"] is None and found["dora_level"] is None
    assert "ask without" in found["unavailable"]["dora_level"]
    answer: Any = told.open(f"{DORA}?{query}")
    assert answer.status_code == 422 and query.split("=")[0] in answer.get_json()["error"]["details"]


def test_without_deployments_nothing_is_invented(api: Api) -> None:
    a_repository(api.db)
    found = api.get(DORA)
    assert (found["deployments"], found["deployment_frequency_per_day"], found["environments"]) == (0, None, [])
    assert set(found["unavailable"]) == {name for name, value in found.items() if value is None} - {
        "change", "deploy_days_per_week"
    }  # fmt: skip
