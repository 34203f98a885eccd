"""A5: methods and spellings of a path. However it is written, the same guard stands before it."""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.rows import a_repository, a_run

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "FOO"]
SPELLINGS = [
    "/api/v1/builds", "/api/v1/builds/", "/api/v1/builds//", "//api/v1/builds", "/api//v1/builds", "/api/v1//builds",
    "/API/v1/builds", "/api/v1/Builds", "/api/v1/./builds", "/api/v1/x/../builds", "/api/v1/%62uilds",
    "/api/v1%2Fbuilds", "/api%2fv1%2fbuilds", "/api/v1/builds%2F", "/api/v1/builds%20", "/api/v1/builds%00",
    "/api/v1/builds;x=1", "/api/v1/builds/55", "/api/v1/builds/55/", "/api/v1/builds/%35%35", "/api/v1/builds/055",
    "/api/v1/builds/55%2F", "/api/v1/builds/55.json", "/api/v1/builds\\", "/health/", "/metrics/", "/openapi.json/",
]  # fmt: skip
SAME = {"/api/v1/builds": "/api/v1/builds/", "/api/v1/builds/55": "/api/v1/builds/55/", "/health": "/health/"}


@pytest.fixture
def closed(make_api: Any) -> Api:
    api: Api = make_api(host="0.0.0.0")
    a_repository(api.db)
    a_run(api.db, id=55)
    return api


@pytest.mark.parametrize("path", SPELLINGS)
def test_A5_no_spelling_and_no_method_goes_round_the_guard(closed: Api, path: str) -> None:
    for method in METHODS:
        nobody = closed.open(path, method)
        reader = closed.open(path, method, "reader")
        assert nobody.status_code < 500 and reader.status_code < 500, method
        assert reader.status_code not in (301, 302, 307, 308), "answered without a redirect"
        if path.startswith("/health"):
            continue
        assert b'"builds"' not in nobody.get_data() and b'"run_number"' not in nobody.get_data(), method
        # Whatever a key can reach is closed without one; what nobody reaches answers the same to all.
        if reader.status_code == 200 and method != "OPTIONS":
            assert nobody.status_code == 401, method
        elif reader.status_code != 422:
            assert nobody.status_code == reader.status_code, method


def test_the_slash_at_the_end_makes_no_difference(api: Api) -> None:
    a_repository(api.db)
    a_run(api.db, id=55)
    for path, other in SAME.items():
        assert api.open(path).get_json() == api.open(other).get_json()
        assert api.open(path, "POST").status_code == api.open(other, "POST").status_code == 405


def test_a_method_in_a_header_is_not_taken(api: Api) -> None:
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert api.open("/api/v1/builds", "POST", headers={name: "GET"}).status_code == 405
        assert api.open("/api/v1/builds", headers={name: "DELETE"}).status_code == 200
