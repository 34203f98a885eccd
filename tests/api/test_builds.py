"""GET /api/v1/builds"""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_job, a_repository, a_run, a_workflow

PATH = "/api/v1/builds"


def ids(found: Any) -> list[int]:
    return [build["id"] for build in found["builds"]]


def test_happy(api: Api) -> None:
    a_repository(api.db)
    run = a_run(api.db, commit_message="y" * 300, queue_seconds=9, run_attempt=2)
    found = api.get(PATH)
    assert (found["page"], found["per_page"], found["total_count"], found["has_next"]) == (1, 20, 1, False)
    build = found["builds"][0]
    assert build["commit_sha"] == run["sha"]
    assert build["commit_message"] == "y" * 200
    assert (build["queue_seconds"], build["run_attempt"], build["event"], build["actor"]) == (9, 2, "push", "octo")


def test_empty(api: Api) -> None:
    answer = api.open(PATH)
    assert (answer.get_json()["builds"], answer.get_json()["total_count"]) == ([], 0)
    assert answer.headers["Link"] == ('</api/v1/builds?page=1>; rel="first", </api/v1/builds?page=1>; rel="last"')


def test_pages_hold_every_build_once_and_link_to_each_other(api: Api) -> None:
    a_repository(api.db)
    wanted = [a_run(api.db, created_at=T0 - 100 * number)["id"] for number in range(7)]
    found: list[int] = []
    path = f"{PATH}?per_page=3&branch=main"
    while path:
        answer = api.open(path)
        found += ids(answer.get_json())
        links = {rel: link["url"] for rel, link in _links(answer.headers["Link"]).items()}
        assert answer.get_json()["has_next"] == ("next" in links)
        assert "branch=main" in links["last"] and "page=3" in links["last"]
        path = links.get("next", "")
    assert found == wanted


def _links(header: str) -> dict[str, Any]:
    from requests.utils import parse_header_links

    return {link["rel"]: link for link in parse_header_links(header)}


def test_links_lead_to_the_public_url_not_to_the_host_header(make_api: Any) -> None:
    api: Api = make_api(public_url="https://ci.example.com", allow_anonymous_read=True)
    assert "<https://ci.example.com/api/v1/builds?page=1>" in api.open(PATH).headers["Link"]


def test_A3_no_parameter_breaks_out_of_the_link_header(api: Api) -> None:
    answer = api.open(f"{PATH}?branch=a%3E%22%3B%20rel=%22next&sort=-started_at")
    assert list(_links(answer.headers["Link"])) == ["first", "last"]
    assert api.open(f"{PATH}?branch=a%0D%0ASet-Cookie:%20x=1").status_code == 422


def test_filters_reach_the_query(api: Api) -> None:
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    a_workflow(api.db, 8, "Deploy")
    plain = a_run(api.db)
    odd = a_run(
        api.db, branch="topic#1", workflow_id=8, conclusion="failure", event="schedule", actor="cat", sha="f" * 40,
        created_at=T0 - 50, commit_message="back\nlater",
    )  # fmt: skip
    queued = a_run(api.db, status="queued")
    for query in (
        "branch=topic%231", "workflow=Deploy", "conclusion=failure", "status=failure", "event=schedule", "actor=cat",
        "sha=FFFF", "created_from=2025-10-09T08:52:00Z", "created_from=2025-10-09T10:52:00%2B02:00", "q=BACK",
        "status=completed&conclusion=failure",
    ):  # fmt: skip
        assert ids(api.get(f"{PATH}?{query}")) == [odd["id"]], query
    assert ids(api.get(f"{PATH}?status=queued")) == [queued["id"]]
    assert set(ids(api.get(f"{PATH}?created_to=2025-10-09T08:52:00Z"))) == {plain["id"], queued["id"]}
    assert ids(api.get(f"{PATH}?status=success&conclusion=failure")) == []


def test_empty_filters_filter_nothing(api: Api) -> None:
    a_repository(api.db)
    a_run(api.db)
    found = api.get(
        f"{PATH}?page=1&per_page=20&status=&branch=&conclusion=&workflow=&q=&sort=&sha=&created_from=&_=1712"
    )
    assert found["total_count"] == 1


def test_sort(api: Api) -> None:
    a_repository(api.db)
    slow = a_run(api.db, duration_seconds=900, created_at=T0 - 9000)
    fast = a_run(api.db, duration_seconds=9)
    assert ids(api.get(f"{PATH}?sort=duration")) == [fast["id"], slow["id"]]
    assert ids(api.get(f"{PATH}?sort=-duration")) == [slow["id"], fast["id"]]
    assert ids(api.get(f"{PATH}?sort=started_at")) == [slow["id"], fast["id"]]


def test_page_sizes_come_from_the_settings(make_api: Any) -> None:
    api: Api = make_api(default_page_size=2, max_page_size=3)
    assert api.get(PATH)["per_page"] == 2
    assert api.get(f"{PATH}?per_page=3")["per_page"] == 3
    assert api.open(f"{PATH}?per_page=4").status_code == 422


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("page=0", ["page"]),
        ("page=100001", ["page"]),
        ("page=" + "9" * 5000, None),
        ("page=" + "9" * 19, ["page"]),
        ("per_page=0&page=-1", ["page", "per_page"]),
        ("per_page=101", ["per_page"]),
        ("status=sucess", ["status"]),
        ("conclusion=FAILURE", ["conclusion"]),
        ("sort=sha", ["sort"]),
        ("sort=duration;drop", ["sort"]),
        ("sort=--duration", ["sort"]),
        ("sha=zz", ["sha"]),
        ("branch=%00", ["branch"]),
        ("branch=" + "b" * 256, ["branch"]),
        ("created_from=2025-10-09", ["created_from"]),
        ("created_to=yesterday", ["created_to"]),
        ("brunch=main", ["brunch"]),
        ("branch=a&branch=b", ["branch"]),
        ("repo=acme/nothing", ["repo"]),
        ("repo=", ["repo"]),
    ],
)
def test_wrong_input_is_named(api: Api, query: str, names: list[str] | None) -> None:
    a_repository(api.db)
    answer = api.open(f"{PATH}?{query}")
    if names is None:
        assert answer.status_code == 414
        return
    assert answer.status_code == 422
    assert sorted(answer.get_json()["error"]["details"]) == names


def test_builds_by_author_and_by_job(api: Api) -> None:
    a_repository(api.db)
    first = a_run(api.db, id=1, author="Ada", conclusion="failure", run_attempt=2)
    a_job(api.db, first, name="test", run_attempt=1, conclusion="failure")
    a_job(api.db, first, name="test")
    a_job(api.db, first, name="deploy", conclusion="timed_out")
    second = a_run(api.db, id=2, author=None, actor="octo", created_at=T0 - 60)
    a_job(api.db, second, name="test", conclusion="failure")
    for query, wanted in (
        ("author=Ada", [1]), ("author=octo", [2]), ("job=test", [2, 1]), ("job=deploy", [1]), ("job=none", []),
        ("failed_job=test", [2]), ("failed_job=deploy", [1]), ("job=deploy&failed_job=test", []), ("job=", [2, 1]),
    ):  # fmt: skip
        assert ids(api.get(f"{PATH}?{query}")) == wanted, query
