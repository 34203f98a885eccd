"""Every error has the envelope, the security headers, and nothing of the inside."""

from typing import Any

import pytest
from flask import Flask

from pipemon.api.auth import scope
from pipemon.queries import pipeline
from pipemon.store.engine import DatabaseBusy, DatabaseFull, DatabaseUnusable
from tests.api.conftest import Api
from tests.api.shapes import ENVELOPE, check

SECRET = "SELECT secret FROM /home/someone"


def assert_envelope(answer: Any, status: int) -> dict[str, Any]:
    """Assert that the answer is an error of ours in every way; return what it says."""
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    check(answer.get_json(), ENVELOPE)
    error: dict[str, Any] = answer.get_json()["error"]
    assert answer.headers["X-Request-ID"] == error["request_id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert_safe_headers(answer)
    return error


def assert_safe_headers(answer: Any) -> None:
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method", "status", "kind"),
    [
        ("/nothing", "GET", 404, "not_found"),
        ("/api/v1/nothing", "GET", 404, "not_found"),
        ("/api/v1/builds", "POST", 405, "method_not_allowed"),
        ("/api/v1/builds/5", "DELETE", 405, "method_not_allowed"),
        ("/health", "PUT", 405, "method_not_allowed"),
        ("/api/v1/builds?x=1", "GET", 422, "validation_error"),
        ("/health?x=1", "GET", 422, "validation_error"),
        ("/api/v1/builds/5", "GET", 404, "not_found"),
        ("/" + "x" * 5000, "GET", 414, "uri_too_long"),
    ],
)
def test_envelope(api: Api, path: str, method: str, status: int, kind: str) -> None:
    error = assert_envelope(api.open(path, method), status)
    assert error["type"] == kind
    assert error["path"] == path.partition("?")[0][:500]


@pytest.mark.parametrize(
    "path", ["/", "/health", "/metrics", "/openapi.json", "/asyncapi.json", "/api/v1/builds", "/api/v1/pipeline/status"]
)
def test_good_answers_have_the_headers_too(api: Api, path: str) -> None:
    answer = api.open(path)
    assert_safe_headers(answer)
    assert answer.headers["X-Request-ID"]
    assert "Strict-Transport-Security" not in answer.headers
    assert api.open(path, base_url="https://localhost").headers["Strict-Transport-Security"]


def test_405_says_what_is_allowed(api: Api) -> None:
    for path in ("/api/v1/builds", "/api/v1/builds/", "/api/v1/builds/5/", "/health"):
        answer = api.open(path, "PATCH")
        assert_envelope(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_options(api: Api) -> None:
    answer = api.open("/api/v1/builds", "OPTIONS")
    assert (answer.status_code, answer.get_data()) == (200, b"")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/api/v1/pipeline/overview", "/api/v1/builds", "/api/v1/builds/5"])
@pytest.mark.parametrize("error", [DatabaseBusy(SECRET), DatabaseFull(SECRET), DatabaseUnusable(SECRET)])
def test_a_database_that_cannot_answer_is_503(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    api.get("/api/v1/pipeline/status")
    for name in ("read", "heavy"):
        monkeypatch.setattr(f"pipemon.store.engine.Database.{name}", fail)
    answer = api.open(path)
    assert_envelope(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert SECRET not in answer.get_data(as_text=True)


def test_an_unexpected_error_is_500_and_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(pipeline, "overview", fail)
    answer = api.open("/api/v1/pipeline/overview", headers={"X-Request-ID": "find-me"})
    assert assert_envelope(answer, 500)["request_id"] == "find-me"
    text = answer.get_data(as_text=True)
    assert SECRET not in text and "Traceback" not in text and ".py" not in text
    logged = capfd.readouterr().out
    assert SECRET in logged and "find-me" in logged


@pytest.mark.parametrize("sent", ["abc-1.2_3", "A" * 64])
def test_request_id_goes_out_as_it_came(api: Api, sent: str) -> None:
    assert api.open("/api/v1/builds", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 65, "<script>", "é", "a,b"])
def test_a_request_id_is_made_where_none_can_be_used(api: Api, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent}
    made = {api.open("/", headers=headers).headers["X-Request-ID"] for _ in range(2)}
    assert len(made) == 2 and sent not in made


def test_demo_mode_says_so_on_every_answer(make_api: Any) -> None:
    demo: Api = make_api(demo=True)
    plain: Api = make_api()
    for path in ("/", "/api/v1/builds", "/nothing", "/api/v1/builds"):
        assert demo.open(path).headers["X-Pipemon-Demo"] == "true"
        assert "X-Pipemon-Demo" not in plain.open(path).headers
    assert demo.open("/", headers={"Host": "evil.example"}).headers["X-Pipemon-Demo"] == "true"


def add_stream(app: Flask) -> None:
    def chunks() -> Any:
        yield b"one "
        yield b"two"

    app.add_url_rule("/api/v1/stream", "stream", scope("read")(lambda: app.response_class(chunks(), 200)))


def test_a_stream_goes_through_untouched(make_api: Any) -> None:
    api: Api = make_api(add_stream)
    answer = api.open("/api/v1/stream")
    assert answer.get_data() == b"one two"
    assert "ETag" not in answer.headers
    assert_safe_headers(answer)
    assert api.open("/api/v1/stream", "HEAD").get_data() == b""
