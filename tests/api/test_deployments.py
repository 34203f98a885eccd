"""Deployments, environments and rollbacks by REST, over what the write path has stored."""

import pytest

from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from tests.api.conftest import Api
from tests.builders import T0, a_deployment
from tests.rows import a_repository, a_run, bump

BASE = "/api/v1"


@pytest.fixture
def told(api: Api) -> Api:
    """V1, V2 and V1 again in production, an hour apart; V2 in staging."""
    a_repository(api.db)
    seen = [
        a_deployment("in_progress", "success", id=number, sha=sha * 40, created_at=T0 - 9000 + 3600 * number)
        for number, sha in ((1, "a"), (2, "b"), (3, "a"))
    ]
    seen.append(a_deployment("success", "inactive", id=9, sha="b" * 40, created_at=T0 - 60, environment="staging"))
    api.db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed(tuple(seen))), T0))
    return api


def test_rollbacks_as_the_contract_says(told: Api) -> None:
    found = told.get(f"{BASE}/builds/history/rollbacks")
    assert found["total_count"] == 1
    assert found["rollback_events"] == [
        {
            "id": 3, "failed_commit": "b" * 7, "failed_at": "2025-10-09T08:25:20Z", "rollback_detected": True,
            "duration_minutes": 60.0, "url": None, "environment": "production", "restored_commit": "a" * 7,
            "rolled_back_at": "2025-10-09T09:25:20Z", "kind": "redeploy", "repository": "acme/shop-1",
        }
    ]  # fmt: skip
    assert told.open(f"{BASE}/builds/history/rollbacks?limit=51").status_code == 422


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [3, 9, 2, 1]),
        ("?environment=staging", [9]),
        ("?kind=rollback", [3]),
        ("?sha=bbbb", [9, 2]),
        ("?state=inactive", [9]),
        ("?per_page=1&page=2", [9]),
        ("?kind=change", [2]),
    ],
)
def test_lists_by_filter_and_page(told: Api, query: str, ids: list[int]) -> None:
    assert [one["id"] for one in told.get(f"{BASE}/deployments{query}")["deployments"]] == ids


def test_environments_show_what_is_live(told: Api) -> None:
    found = told.get(f"{BASE}/environments")["environments"]
    assert [(one["environment"], one["id"], one["kind"]) for one in found] == [
        ("production", 3, "rollback"),
        ("staging", 9, "first"),
    ]


def test_environments_say_whose_work_waits(told: Api) -> None:
    for place, (sha, author) in enumerate((("a", "Ada"), ("b", "Bo"), ("b", "Bo"), ("c", "Cy"))):
        a_run(told.db, sha=sha * 40, author=author, created_at=T0 - 9000 + 1800 * place, branch="main", event="push",
              head_repository="acme/shop-1")  # fmt: skip
    # None of these is the default branch's: another branch, a fork's main, a pull request.
    for over in ({"branch": "topic"}, {"head_repository": "eve/shop-1"}, {"event": "pull_request"}):
        a_run(told.db, **{"sha": "d" * 40, "created_at": T0 - 100, "head_repository": "acme/shop-1", **over})
    bump(told.db)
    production, staging = told.get(f"{BASE}/environments")["environments"]
    assert production["behind"] == {
        "commits": 2, "hours": 1.99, "authors": ["Bo", "Cy"], "oldest_commit_sha": "b" * 40,
        "newest_commit_sha": "c" * 40,
    }  # fmt: skip
    assert (staging["behind"]["commits"], staging["behind"]["authors"]) == (1, ["Cy"])


def test_of_a_commit_without_a_build_nobody_knows_how_far_it_is_behind(told: Api) -> None:
    assert [one["behind"] for one in told.get(f"{BASE}/environments")["environments"]] == [None, None]


def test_one_deployment_says_why(told: Api) -> None:
    one = told.get(f"{BASE}/deployments/3")
    assert (one["rule"], one["blamed_deployment_id"], one["duration_seconds"]) == ("deployed_before", 2, 120)
    assert one["evidence"]["restored_deployment"] == 1
    assert told.open(f"{BASE}/deployments/4").status_code == 404


@pytest.mark.parametrize("query", ["?kind=bad", "?environmen=x", "?per_page=101"])
def test_wrong_parameters_are_refused(told: Api, query: str) -> None:
    assert told.open(f"{BASE}/deployments{query}").status_code == 422


def test_empty(api: Api) -> None:
    a_repository(api.db)
    assert api.get(f"{BASE}/environments")["environments"] == []
    assert api.get(f"{BASE}/builds/history/rollbacks")["rollback_events"] == []


def overrule(told: Api, version: object, kind: str | None = "change") -> int:
    sent = {"If-Match": f'"{version}"'}
    path = f"{BASE}/deployments/3/verdict"
    return told.open(path, "PUT", "operator", headers=sent, json={"kind": kind}).status_code


def test_A4_of_two_verdicts_for_one_version_the_second_is_refused(told: Api) -> None:
    version = told.get(f"{BASE}/deployments/3")["version"]
    assert [overrule(told, version), overrule(told, version, "redeploy")] == [200, 412]
    one = told.get(f"{BASE}/deployments/3")
    assert (one["kind"], one["overruled_by"], one["rule"]) == ("change", "operator", "deployed_before")
    assert told.get(f"{BASE}/builds/history/rollbacks")["total_count"] == 0
    assert overrule(told, one["version"], None) == 200
    assert told.get(f"{BASE}/deployments/3")["kind"] == "rollback"


@pytest.mark.parametrize(("version", "kind"), [("x", "change"), ("", "change"), (1, "bad")])
def test_a_verdict_that_makes_no_sense_is_refused(told: Api, version: object, kind: str) -> None:
    assert overrule(told, version, kind) == 422
