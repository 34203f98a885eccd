"""A1: any bad value on any route is answered as described, never by a 5xx."""

from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import Api
from tests.api.shapes import ENVELOPE, check
from tests.api.test_contract import fill

PATHS = ["/api/v1/pipeline/overview", "/api/v1/pipeline/status", "/api/v1/pipeline/metrics", "/api/v1/pipeline/recent"]
NAMES = [
    "page", "per_page", "status", "branch", "conclusion", "workflow", "event", "actor", "sha", "created_from",
    "created_to", "q", "sort", "repo",
]  # fmt: skip
# M13 and its kin: what has broken parsers before.
SEEDS = [
    str(2**63), str(-(2**63) - 1), str(10**25), "1" * 3000, "5.7", "2.6e-42", "1e400", "NaN", "Infinity", "-0", "+1",
    "0x10", "1_000", "٣", "null", "true", "[]", "{}", "[" * 2000, "\x00", "\xd8\x00",
    "%", "_", "'", "' OR '1'='1", "1; DROP TABLE runs", "\\", "\r\nX-Evil: 1", "\u202e", "🙂" * 50, "-duration,id", "",
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_A1_seeds_on_every_parameter(api: Api, seed: str) -> None:
    fill(api)
    text = quote(seed, safe="")
    asked = [f"/api/v1/builds?{name}={text}" for name in NAMES]
    asked += [f"{path}?{name}={text}" for path in PATHS for name in ("lookback_minutes", "limit", "repo", text or "x")]
    asked += [f"/api/v1/builds/{text}", f"/api/v1/{text}", f"/{text}", f"/health?{text}=1"]
    for path in asked:
        answer = api.open(path)
        assert answer.status_code in (200, 404, 414, 422), path
        assert "X-Evil" not in answer.headers
        if answer.status_code != 200:
            check(answer.get_json(), ENVELOPE)


@pytest.mark.parametrize(
    "raw", ["%ff%fe", "%ed%a0%80", "%c0%af", "%", "%zz", "a=%ff&=&&&=;", "&" * 500, "=" * 500, "%00=1"]
)
def test_M13_bytes_that_are_no_text(api: Api, raw: str) -> None:
    for path in (f"/api/v1/builds?branch={raw}", f"/api/v1/builds?{raw}", f"/api/v1/builds/{raw}", f"/{raw}"):
        answer = api.open(path)
        assert answer.status_code in (200, 404, 422), path


@pytest.mark.parametrize(
    "name",
    [
        "X-API-Key", "Authorization", "If-None-Match", "X-Request-ID", "Origin", "Content-Type", "Content-Length",
        "Accept", "Range", "Transfer-Encoding", "Content-Encoding", "Access-Control-Request-Method",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["é\xff", "x" * 8000, "a, b;q=nope", '"', 'W/"', "-1", "9" * 5000, "\x7f"])
def test_A1_headers(api: Api, name: str, value: str) -> None:
    answer = api.open("/api/v1/builds", environ_overrides={_in_environ(name): value})
    assert answer.status_code in (200, 401, 413), answer.status_code


def _in_environ(name: str) -> str:
    found = name.upper().replace("-", "_")
    return found if found in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{found}"


def test_A1_generated(api: Api) -> None:
    """A few hundred calls made from our own description, each answer checked against it."""
    fill(api)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", api.app)
    checks: list[Any] = [status_code_conformance, content_type_conformance, response_schema_conformance]
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            answer = case.call()
            assert answer.status_code < 500
            case.validate_response(answer, checks=checks)

        run()
