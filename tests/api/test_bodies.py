"""What may come in a body: small, shallow, plain JSON. A write of the tests stands in for those of later rooms."""

import json
from typing import Any

import pytest
from flask import Flask, request

from pipemon.api.arguments import Parser
from pipemon.api.auth import scope
from pipemon.api.bodies import DEEPEST, too_deep
from tests.api.conftest import Api

PATH = "/probe"


@pytest.fixture
def effects() -> list[Any]:
    return []


@pytest.fixture
def api(make_api: Any, effects: list[Any]) -> Api:
    def add(app: Flask) -> None:
        def write() -> dict[str, bool]:
            effects.append(Parser()._raw_load_json(request))
            return {"done": True}

        app.add_url_rule(PATH, "probe", scope("operate")(write), methods=["POST", "DELETE"])

    found: Api = make_api(add)
    return found


def send(api: Api, data: bytes, content_type: str | None = "application/json", **headers: str) -> int:
    sent = api.open(PATH, "POST", "operator", data=data, content_type=content_type, headers=headers)
    if sent.status_code >= 400:
        assert set(sent.get_json()) == {"error"}
    return sent.status_code


def test_good(api: Api, effects: list[Any]) -> None:
    assert send(api, b'{"text": "a"}') == 200
    assert send(api, b'{"text": "a"}', "application/json; charset=utf-8") == 200
    assert effects == [{"text": "a"}] * 2


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None, "json", ""],
)
def test_csrf_what_a_foreign_page_can_post_is_415(api: Api, effects: list[Any], content_type: str | None) -> None:
    assert send(api, b'{"text": "a"}', content_type) == 415
    assert effects == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_A6_compressed_bodies_are_415(api: Api, encoding: str) -> None:
    assert send(api, b"{}", **{"Content-Encoding": encoding}) == 415


def test_A6_too_large_is_413(api: Api, effects: list[Any]) -> None:
    assert send(api, b'"' + b"x" * 65_534 + b'"') == 200
    assert send(api, b'"' + b"x" * 65_535 + b'"') == 413
    assert len(effects) == 1
    answer = api.open("/health", data=b"x" * 70_000, content_type="text/plain")
    assert answer.status_code == 413


def test_A6_reading_stops_at_the_cap_where_no_length_was_told(api: Api) -> None:
    class Endless:
        given = 0

        def read(self, size: int = -1) -> bytes:
            size = 8192 if size < 0 else min(size, 8192)
            self.given += size
            assert self.given < 200_000
            return b"x" * size

        def readinto(self, into: Any) -> int:
            found = self.read(len(into))
            into[: len(found)] = found
            return len(found)

    body = Endless()
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = api.open(PATH, "POST", "operator", content_type="application/json", environ_overrides=environ)
    assert answer.status_code == 413
    assert body.given <= 1.1 * 65_536 + 8192


@pytest.mark.parametrize(
    "body",
    [
        b" ", b"{", b"nope", b"{'a': 1}", b"NaN", b'{"a": Infinity}', b"-Infinity", b"1" * 5000, b"\xff\xfe", b"{}{}",
        b"[" * 100_0, b"[" * 60_000,
    ],
)  # fmt: skip
def test_M13_broken_json_is_400(api: Api, body: bytes) -> None:
    assert send(api, body) == 400


def test_M13_json_that_is_deep_and_valid_is_400_too(api: Api) -> None:
    assert send(api, b"[" * DEEPEST + b"]" * DEEPEST) == 200
    assert send(api, b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)) == 400


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[" * DEEPEST + "]" * DEEPEST, False),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), True),
        ('{"a":' * (DEEPEST + 1), True),
        (json.dumps("[" * 1000), False),
        (json.dumps(['\\"[[', "[" * 1000]), False),
        ("[]" * 1000, False),
    ],
)
def test_too_deep(body: str, expected: bool) -> None:
    assert too_deep(body.encode()) == expected


def test_a_write_needs_its_key_before_anything_else(api: Api) -> None:
    """On loopback too; and nothing of the body is looked at before."""
    assert api.open(PATH, "POST", data=b"[" * 60_000).status_code == 401
    assert api.open(PATH, "POST", "reader", data=b"x").status_code == 403
