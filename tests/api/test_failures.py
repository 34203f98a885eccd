"""Why jobs failed: in the build, by their kept lines, and grouped."""

import pytest
import sqlalchemy as sa

from pipemon.store.schema_failures import failures
from tests.api.conftest import Api
from tests.rows import T0, a_failure, a_job, a_repository, a_run, a_workflow, bump

SIGNATURES = "/api/v1/analytics/failures/signatures"
OTHER = "fedcba9876543210"


@pytest.fixture
def told(api: Api) -> Api:
    """Three builds fail for one reason, in two repositories, one for another, and one nobody knows why."""
    a_repository(api.db, 1, last_success_at=T0, due_by=T0 + 86400)
    a_repository(api.db, 2, last_success_at=T0, due_by=T0 + 86400)
    a_workflow(api.db, 7, "CI")
    told = [
        (100, 1, "main", {}), (101, 1, "topic", {}), (102, 2, "main", {}),
        (103, 1, "main", {"signature": OTHER, "title": "No space left on device", "platform": True}),
        (104, 1, "main", {"state": "expired", "signature": None, "title": None, "lines": "[]"}),
    ]  # fmt: skip
    for place, (run_id, repository_id, branch, over) in enumerate(told):
        run = a_run(api.db, id=run_id, repository_id=repository_id, branch=branch, conclusion="failure",
                    created_at=T0 - 3000 + place * 60)  # fmt: skip
        a_failure(api.db, run, a_job(api.db, run, id=run_id * 10, name="test", conclusion="failure"), **over)
    bump(api.db)
    return api


def test_a_build_says_why_it_failed(told: Api) -> None:
    (job,) = told.get("/api/v1/builds/101")["jobs"]
    failure = job["failure"]
    assert (failure["title"], failure["step"], failure["state"]) == (
        "FAILED tests/test_door.py::test_it_opens", "Test", "read",
    )  # fmt: skip
    assert (failure["seen"]["failures"], failure["seen"]["builds"]) == (3, 3)
    assert failure["seen"]["first_seen_at"] < failure["seen"]["last_seen_at"]
    (job,) = told.get("/api/v1/builds/104")["jobs"]
    assert (job["failure"]["state"], job["failure"]["seen"]) == ("expired", None)


def test_the_kept_lines(told: Api) -> None:
    answer = told.open("/api/v1/builds/101/jobs/1010/failure")
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.get_json()
    assert (found["build_id"], found["job_id"], found["failure"]["signature"]) == (101, 1010, "0123456789abcdef")
    assert found["lines"] == [
        {"line": 7, "timestamp": "2025-10-09T07:55:19.0000000Z", "level": "error",
         "message": "FAILED tests/test_door.py::test_it_opens"},
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["101/jobs/1000", "999/jobs/1010", "101/jobs/5"])
def test_a_job_of_another_build_is_404(told: Api, path: str) -> None:
    assert told.open(f"/api/v1/builds/{path}/failure").status_code == 404


def test_what_is_kept_of_a_repository_that_is_not_watched_any_more_is_not_shown(told: Api) -> None:
    told.db.transact(lambda conn: conn.execute(sa.text("UPDATE repositories SET watched = false WHERE id = 2")))
    bump(told.db)
    assert told.open("/api/v1/builds/102/jobs/1020/failure").status_code == 404


def test_failures_are_grouped_by_reason(told: Api) -> None:
    found = told.get(SIGNATURES)
    assert [(one["signature"], one["failures"], one["platform"]) for one in found["signatures"]] == [
        ("0123456789abcdef", 3, False), (OTHER, 1, True),
    ]  # fmt: skip
    first = found["signatures"][0]
    assert (first["repositories"], first["branches"], first["jobs"]) == (
        ["acme/shop-1", "acme/shop-2"], ["main", "topic"], ["test"],
    )  # fmt: skip
    assert (first["latest_build_id"], first["builds"]) == (102, 3)
    assert (found["n"], found["total_failures"], found["excluded"]) == (4, 4, [{"reason": "expired", "count": 1}])
    assert told.get("/api/v1/analytics/failures")["signatures"] == found["signatures"]


def test_a_group_leads_to_its_builds(told: Api) -> None:
    first, second = told.get(SIGNATURES)["signatures"]
    assert [build["id"] for build in told.get(first["builds_url"])["builds"]] == [102, 101, 100]
    assert [build["id"] for build in told.get(second["builds_url"])["builds"]] == [103]


def test_filters_and_what_was_seen_outside_of_the_window(told: Api) -> None:
    (first, _) = told.get(f"{SIGNATURES}?branch=main&repo=acme/shop-1")["signatures"]
    assert (first["failures"], first["branches"]) == (1, ["main"])
    # First and last seen are those of all that is stored of these repositories.
    assert first["last_seen_at"] > first["first_seen_at"]
    assert told.get(f"{SIGNATURES}?repo=acme/shop-2")["n"] == 1


def test_as_csv(told: Api) -> None:
    answer = told.open(f"{SIGNATURES}?format=csv")
    lines = answer.get_data(as_text=True).splitlines()
    assert lines[0].startswith("signature,title,platform,failures")
    assert len(lines) == 3
    assert "acme/shop-1; acme/shop-2" in lines[1]


@pytest.mark.parametrize("value", ["xyz", "0123456789ABCDEF", "0" * 15, "0" * 17])
def test_a_signature_that_is_none_is_422(told: Api, value: str) -> None:
    answer = told.open(f"/api/v1/builds?signature={value}")
    assert answer.status_code == 422
    assert "signature" in answer.get_json()["error"]["details"]


def test_a_log_that_says_nothing_is_told(told: Api) -> None:
    told.db.transact(lambda conn: conn.execute(sa.update(failures).values(state="read")))
    found = told.get(SIGNATURES)
    assert found["excluded"] == [{"reason": "silent", "count": 1}]
