"""GET /api/v1/events"""

from typing import Any

import pytest

from pipemon.domain.events import TOPICS, TYPES, Event
from pipemon.store import events
from pipemon.store.engine import Database
from tests.api.conftest import Api
from tests.rows import T0, a_repository

PATH = "/api/v1/events"


def log(db: Database, *types: str, repository: str = "acme/shop-1", historic: bool = False) -> None:
    """Append events of these types."""
    with db.read() as conn:
        after = events.position(conn).last_id
    news = [
        Event(name, "builds", repository, f"{after + n}", T0 + n, 5, 1, historic, {"build_id": 5})
        for n, name in enumerate(types)
    ]

    def work(conn: Any) -> None:
        events.lock(conn)
        events.append(conn, news, T0 + 0.25)

    db.transact(work)


def test_happy(api: Api) -> None:
    a_repository(api.db)
    log(api.db, "build_queued", "build_started", historic=True)
    found = api.get(PATH)
    assert found["events"][1] == {
        "id": 2, "type": "build_started", "topic": "builds", "repository": "acme/shop-1",
        "occurred_at": "2025-10-09T08:53:21Z", "recorded_at": "2025-10-09T08:53:20.250Z", "historic": True,
        "data": {"build_id": 5},
    }  # fmt: skip
    assert (found["first_event_id"], found["last_event_id"], found["has_more"]) == (1, 2, False)
    assert len(found["epoch"]) > 8
    assert found["timestamp"] and found["data_state"]


def test_empty(api: Api) -> None:
    a_repository(api.db)
    found = api.get(PATH)
    assert (found["events"], found["first_event_id"], found["last_event_id"], found["has_more"]) == ([], 1, 0, False)


def test_following_the_log_gives_every_event_once_and_in_order(api: Api) -> None:
    a_repository(api.db)
    log(api.db, *["build_queued", "job_failed"] * 5)
    seen, after, more = [], 0, True
    while more:
        page = api.get(f"{PATH}?limit=3&after={after}")
        seen += [event["id"] for event in page["events"]]
        after, more = page["last_event_id"], page["has_more"]
    assert seen == list(range(1, 11))
    log(api.db, "build_started")
    api.clock.now += 10
    api.monotonic += 10
    assert [event["id"] for event in api.get(f"{PATH}?after={after}")["events"]] == [11]


def test_types_and_repositories_filter_and_the_end_is_not_read_twice(api: Api) -> None:
    a_repository(api.db)
    a_repository(api.db, 2)
    log(api.db, "build_failed", "build_queued")
    log(api.db, "build_failed", "build_queued", repository="acme/shop-2")
    log(api.db, "build_failed", repository="acme/not-watched")
    found = api.get(f"{PATH}?types=build_failed,build_timeout&repo=ACME/shop-2")
    assert [event["id"] for event in found["events"]] == [3]
    assert (found["last_event_id"], found["has_more"]) == (5, False)
    assert [event["id"] for event in api.get(f"{PATH}?types=build_failed")["events"]] == [1, 3]
    assert api.get(f"{PATH}?types=build_failed&limit=1")["last_event_id"] == 1


def test_who_is_ahead_of_the_log_is_told_where_it_stands(api: Api) -> None:
    a_repository(api.db)
    log(api.db, "build_failed")
    found = api.get(f"{PATH}?after=99")
    assert (found["events"], found["last_event_id"], found["has_more"]) == ([], 1, False)


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "types=build_exploded", "repo=acme/none", "before=3"]
)
def test_a_wrong_parameter_is_named(api: Api, query: str) -> None:
    a_repository(api.db)
    answer = api.open(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.get_json()["error"]["details"]


def test_an_event_that_no_other_answer_shows_changes_the_etag_of_the_log_alone(api: Api) -> None:
    a_repository(api.db)
    before = {path: api.open(path).headers["ETag"] for path in (PATH, "/api/v1/pipeline/recent")}
    log(api.db, "analytics_updated")
    api.monotonic += 10
    after = {path: api.open(path).headers["ETag"] for path in before}
    assert after[PATH] != before[PATH]
    assert after["/api/v1/pipeline/recent"] == before["/api/v1/pipeline/recent"]


def test_the_vocabulary_has_each_name_once() -> None:
    assert len(TYPES) == len(set(TYPES))
    assert set(TOPICS) == {"pipeline", "builds", "analytics", "notifications"}
