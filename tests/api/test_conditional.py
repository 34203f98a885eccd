"""ETags, 304 and the cache: when an answer is given again, and when it must not be."""

import threading
from typing import Any

import pytest

from pipemon.api import conditional
from pipemon.api.conditional import Cache, Entry, Question, holds
from pipemon.api.services import Moment
from pipemon.queries import pipeline
from pipemon.store.engine import Database
from tests.api.conftest import Api
from tests.rows import T0, a_repository, a_run, bump

PATHS = [
    "/api/v1/pipeline/overview",
    "/api/v1/pipeline/status",
    "/api/v1/pipeline/metrics",
    "/api/v1/pipeline/recent",
    "/api/v1/builds",
]


@pytest.fixture
def filled(api: Api) -> Api:
    a_repository(api.db, due_by=T0 + 1_000_000)
    a_run(api.db, id=55)
    return api


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a switch after which every read of the database fails."""

    def turn_off() -> None:
        def refuse(*args: object) -> None:
            raise AssertionError("the database was asked")

        monkeypatch.setattr(Database, "read", refuse)
        monkeypatch.setattr(Database, "heavy", refuse)

    return turn_off


@pytest.mark.parametrize("path", [*PATHS, "/api/v1/builds/55"])
def test_etag_gives_304_and_a_repeat_the_same_bytes_without_the_database(
    filled: Api, no_database: Any, path: str
) -> None:
    first = filled.open(path)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"') and first.headers["Cache-Control"] == "private, no-cache"
    filled.services.snapshots._monotonic = lambda: 0.0  # the snapshot stays young
    filled.services.snapshots._read_at = 0.0
    no_database()
    for sent in (tag, f'"x", {tag}', tag[2:]):
        again = filled.open(path, headers={"If-None-Match": sent})
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", tag), sent
    for spelling in (path, path + "/", path + "?_=123"):
        again = filled.open(spelling)
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (200, first.get_data(), tag)
    assert filled.open(path, headers={"If-None-Match": 'W/"other"'}).status_code == 200


def test_304_holds_in_another_process_too(filled: Api) -> None:
    tag = filled.open(PATHS[0]).headers["ETag"]
    other = Api(filled.db, filled.clock, filled.settings)
    assert other.open(PATHS[0], headers={"If-None-Match": tag}).status_code == 304


def test_a_new_revision_is_a_new_answer(filled: Api) -> None:
    first = filled.open("/api/v1/builds")
    a_run(filled.db)
    bump(filled.db)
    again = filled.open("/api/v1/builds", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_json()["total_count"]) == (200, 2)


def test_a_new_bucket_is_a_new_answer(filled: Api) -> None:
    tag = filled.open(PATHS[0]).headers["ETag"]
    filled.clock.now = T0 + 39
    assert filled.open(PATHS[0]).headers["ETag"] == tag
    filled.clock.now = T0 + 40
    assert filled.open(PATHS[0]).headers["ETag"] != tag


def test_data_that_became_stale_is_a_new_answer(api: Api) -> None:
    a_repository(api.db, due_by=T0 + 5)
    first = api.open(PATHS[0])
    api.clock.now = T0 + 10
    again = api.open(PATHS[0], headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_json()["data_state"]) == (200, "stale")


def test_questions_that_differ_have_different_etags(filled: Api) -> None:
    queries = ["", "?per_page=1", "?per_page=2", "?branch=main", "?repo=acme/shop-1", "?branch=main&per_page=1"]
    tags = [filled.open("/api/v1/builds" + query).headers["ETag"] for query in queries]
    assert len(set(tags)) == len(tags)
    assert filled.open("/api/v1/builds?per_page=1&branch=main").headers["ETag"] == tags[-1]


def test_errors_are_neither_kept_nor_tagged(filled: Api) -> None:
    for path in ("/api/v1/builds/9", "/api/v1/builds?x=1", "/api/v1/nothing"):
        answer = filled.open(path)
        assert "ETag" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
    a_run(filled.db, id=9)
    assert filled.open("/api/v1/builds/9").status_code == 200


def test_a_cached_answer_goes_to_nobody_who_may_not_see_it(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0", allow_anonymous_read=False)
    first = api.open(PATHS[0], key="reader")
    assert first.status_code == 200
    wanted = {"If-None-Match": first.headers["ETag"]}
    assert api.open(PATHS[0], headers=wanted).status_code == 401
    assert api.open(PATHS[0], headers=wanted | {"X-API-Key": "wrong"}).status_code == 401
    assert api.open(PATHS[0], headers={"Host": "evil.example"}, key="reader").status_code == 400
    assert api.open(PATHS[0], headers=wanted, key="reader").status_code == 304
    # What a caller may see is part of the tag.
    assert api.open(PATHS[0], headers=wanted, key="boss").status_code == 200


def test_a_forged_etag_opens_nothing(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0", allow_anonymous_read=False)
    moment = Moment(api.services.snapshots.current(), api.clock())
    forged = conditional._tag(moment, f"none {PATHS[0]}?", PATHS[0], "")
    assert api.open(PATHS[0], headers={"If-None-Match": forged}).status_code == 401


def test_a_hit_has_the_headers_and_is_counted_like_a_miss(filled: Api) -> None:
    miss = filled.open(PATHS[0], headers={"X-Request-ID": "one", "Origin": "http://localhost:3000"})
    hit = filled.open(PATHS[0], headers={"X-Request-ID": "two", "Origin": "http://localhost:3000"})
    assert hit.headers["X-Request-ID"] == "two"
    assert dict(hit.headers) | {"X-Request-ID": "one"} == dict(miss.headers)
    plain = filled.open(PATHS[0])
    assert "Access-Control-Allow-Origin" not in plain.headers
    line = f'http_requests_total{{method="GET",route="{PATHS[0]}",status="200"}}'
    before = _counted(filled, line)
    filled.open(PATHS[0])
    assert _counted(filled, line) == before + 1


def _counted(api: Api, line: str) -> float:
    text = api.open("/metrics").get_data(as_text=True)
    return float(text.split(line, 1)[1].split("\n", 1)[0])


def test_head_has_the_headers_of_get_and_no_body(filled: Api) -> None:
    for _ in range(2):
        head = filled.open("/api/v1/builds", "HEAD")
        assert (head.status_code, head.get_data()) == (200, b"")
        get = filled.open("/api/v1/builds")
        assert head.headers["ETag"] == get.headers["ETag"]
        assert head.headers["Content-Length"] == get.headers["Content-Length"]
        assert head.headers["Link"] == get.headers["Link"]
    assert filled.open("/api/v1/builds/1", "HEAD").status_code == 404


def test_one_makes_the_answer_for_all_who_ask_at_once(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go = [], threading.Event()
    plain = pipeline.overview

    def slow(*args: Any) -> Any:
        asked.append(1)
        assert go.wait(10)
        return plain(*args)

    monkeypatch.setattr(pipeline, "overview", slow)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(filled.open(PATHS[0]))) for _ in range(8)]
    threads[0].start()
    while not asked:
        threads[0].join(0.01)
    for thread in threads[1:]:
        thread.start()
    for thread in threads[1:]:
        thread.join(0.05)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(asked) == 1
    assert len({answer.get_data() for answer in found}) == 1
    assert [answer.status_code for answer in found] == [200] * 8


def test_a_failed_answer_does_not_hold_up_the_next(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise ValueError

    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "overview", fail)
        assert filled.open(PATHS[0]).status_code == 500
    monkeypatch.setattr(conditional, "PATIENCE_SECONDS", 0.0)
    assert filled.open(PATHS[0]).status_code == 200


def test_the_cache_holds_its_size_and_drops_what_was_asked_longest_ago() -> None:
    cache = Cache(10_000)
    questions = [Question(f"k{number}", "t") for number in range(5)]
    for question in questions[:3]:
        cache.put(question, Entry("t", "/r", [], b"x" * 2000))
    assert cache.get(questions[0]) is not None
    for question in questions[3:]:
        cache.put(question, Entry("t", "/r", [], b"x" * 2000))
    assert [cache.get(question) is not None for question in questions] == [True, False, False, True, True]
    cache.put(questions[0], Entry("u", "/r", [], b"y"))
    assert cache.get(questions[0]) is None, "an older answer to the question"
    assert cache._size <= 10_000


def test_holds() -> None:
    assert holds('W/"a"', 'W/"a"') and holds('"a"', 'W/"a"') and holds('"b", W/"a"', 'W/"a"')
    assert not holds(None, 'W/"a"') and not holds('W/"b"', 'W/"a"') and not holds("", 'W/"a"')
    assert not holds("*", 'W/"a"')  # it would hold for what is refused, too


@pytest.mark.parametrize("path", ["/api/v1/builds?evil=1", "/api/v1/nothing", "/api/v1/builds/1"])
def test_a_star_makes_no_304_of_a_refusal(filled: Api, path: str) -> None:
    assert filled.open(path, headers={"If-None-Match": "*"}).status_code in (404, 422)


def test_a_locked_database_keeps_the_snapshot_that_is_held(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipemon.store.engine import DatabaseBusy

    tag = filled.open(PATHS[0]).headers["ETag"]

    def busy() -> Any:
        raise DatabaseBusy("locked")

    filled.services.snapshots._read = busy
    assert filled.open(PATHS[0], headers={"If-None-Match": tag}).status_code == 304
