"""Which pages of which origins may read, and which Host names are served (DNS rebinding)."""

from typing import Any

import pytest

from tests.api.conftest import Api

OURS = ("https://dash.example.com", "http://localhost:3000", "https://dash.example.com:8443")
FOREIGN = [
    "null", "*", "", "https://evil.example", "http://dash.example.com", "https://dash.example.com:443",
    "https://dash.example.com:84433", "https://dash.example.com.evil.example", "https://evil-dash.example.com",
    "https://xdash.example.com", "https://dash.example.co", "https://DASH.example.com", "HTTPS://dash.example.com",
    "https://dash.example.com/", "https://dash.example.com#", "https://dash.example.com@evil.example",
    "https://dash.example.com\\.evil.example", "https://dash%2eexample.com", "https://dash.example.com ",
    " https://dash.example.com", "https://dash.example.com, https://evil.example", "dash.example.com",
    "//dash.example.com", "file://", "http://localhost", "http://localhost:30000", "http://localhost:3001",
    "http://127.0.0.1:3000", "https://sub.dash.example.com", "https://example.com", "https://dashXexample.com",
    "data:text/html,x", "chrome-extension://abc", "https://dash.example.com.", "https://[::1]:3000",
    "http://localhost:3000/x", "http://LOCALHOST:3000",
]  # fmt: skip


@pytest.fixture
def api(make_api: Any) -> Api:
    found: Api = make_api(allowed_origins=OURS)
    return found


@pytest.mark.parametrize("origin", OURS)
@pytest.mark.parametrize("path", ["/api/v1/builds", "/api/v1/builds?x=1", "/nothing", "/"])
def test_our_origins_may_read_every_answer(api: Api, origin: str, path: str) -> None:
    for _ in range(2):
        answer = api.open(path, headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert {"ETag", "Link", "Retry-After", "X-Request-ID"} <= set(exposed.split(", "))
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origins_may_not(api: Api, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    for method, headers in (("GET", {"Origin": origin}), ("OPTIONS", preflight)):
        answer = api.open("/api/v1/builds", method, headers=headers)
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")], method
        assert answer.headers["Vary"] == "Origin"


def test_null_is_refused_even_where_it_is_configured(make_api: Any) -> None:
    api: Api = make_api(allowed_origins=("null", "https://dash.example.com"))
    assert "Access-Control-Allow-Origin" not in api.open("/", headers={"Origin": "null"}).headers


def test_preflight_needs_no_key(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0", allowed_origins=OURS)
    headers = {
        "Origin": OURS[0],
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-api-key, if-none-match",
    }
    answer = api.open("/api/v1/builds", "OPTIONS", headers=headers)
    assert (answer.status_code, answer.get_data()) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == OURS[0]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"x-api-key", "authorization", "if-none-match", "content-type"} <= set(allowed)
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert api.open("/api/v1/builds", headers={"Origin": OURS[0]}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("[::1]", 200),
        ("LOCALHOST", 200), ("localhost.", 200), ("ci.example.com", 200), ("ci.example.com:443", 200),
        ("evil.example", 400), ("localhost.evil.example", 400), ("evil.example:8000", 400), ("", 400),
        ("127.0.0.1.evil.example", 400), ("127.0.0.2", 400), ("localhost:x", 400), ("localhost:8000:1", 400),
        ("localhost@evil.example", 400), ("local host", 400), ("ci.example.com/x", 400), ("0.0.0.0", 400),
        ("::1", 400), ("[::2]", 400), ("xci.example.com", 400), ("localhost\\.evil", 400), ("*", 400),
    ],
)  # fmt: skip
def test_host(make_api: Any, host: str, status: int) -> None:
    api: Api = make_api(allowed_hosts=("localhost", "127.0.0.1", "::1", "ci.example.com"))
    for path in ("/health", "/api/v1/builds"):
        answer = api.open(path, environ_overrides={"HTTP_HOST": host})
        assert answer.status_code == status
        if status == 400:
            assert answer.get_json()["error"]["type"] == "bad_request"


def test_no_host_at_all_is_refused(api: Api) -> None:
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    environ = EnvironBuilder("/health").get_environ()
    del environ["HTTP_HOST"]
    assert run_wsgi_app(api.app.wsgi_app, environ)[1].startswith("400")


def test_a_proxy_s_word_about_the_host_is_not_taken(api: Api) -> None:
    headers = {"X-Forwarded-Host": "localhost", "Host": "evil.example"}
    assert api.open("/health", headers=headers).status_code == 400


def test_a_star_serves_every_host(make_api: Any) -> None:
    assert make_api(allowed_hosts=("*",)).open("/health", headers={"Host": "any.example"}).status_code == 200
