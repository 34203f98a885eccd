"""The door for deliveries: nothing unsigned gets in, nothing is answered 2xx before it is stored."""

import hashlib
import hmac
import json
import random
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.api import signature, webhooks
from pipemon.domain.secrets import Secret
from pipemon.github import fields, webhook
from pipemon.store import deliveries as stored
from pipemon.store.engine import DatabaseFull
from pipemon.store.schema import deliveries
from tests.api.conftest import Api
from tests.github.test_webhook import BODIES, mutated
from tests.rows import a_repository

PATH = "/api/v1/webhooks/github"
SECRET = "It's a Secret to Everybody"
SHOP = {"id": 77, "full_name": "acme/shop-1"}
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def body_of(event: str, **over: Any) -> bytes:
    return json.dumps(BODIES[event] | {"repository": SHOP} | over).encode()


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers_of(body: bytes, **over: str | None) -> dict[str, str]:
    names = {"event": "X-GitHub-Event", "guid": "X-GitHub-Delivery", "signature": "X-Hub-Signature-256"}
    found = {"event": "workflow_run", "guid": GUID, "signature": signed(body)} | over
    return {names[name]: value for name, value in found.items() if value is not None}


def send(api: Api, body: bytes, content_type: str | None = "application/json", **over: str | None) -> Any:
    return api.open(PATH, "POST", data=body, content_type=content_type, headers=headers_of(body, **over))


def rows(api: Api) -> list[Any]:
    with api.db.read() as conn:
        return list(conn.execute(sa.select(deliveries).order_by(deliveries.c.id)))


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """A public service with a secret, and no key for anybody who reads this route."""
    found = make_api(host="0.0.0.0", github_webhook_secret=(Secret(SECRET),))
    a_repository(found.db, github_id=77)
    return found


def test_a_signed_delivery_is_stored_and_accepted(api: Api) -> None:
    body = body_of("workflow_run")
    answer = send(api, body)
    assert (answer.status_code, answer.get_json()) == (202, {"status": "accepted", "why": None})
    (row,) = rows(api)
    assert (row.guid, row.event, row.action, row.repository_id) == (GUID, "workflow_run", "completed", 1)
    assert row.result is None
    with api.db.read() as conn:
        assert stored.get_body(conn, row.id) == body


@pytest.mark.parametrize("event", ["workflow_run", "workflow_job", "deployment", "deployment_status", "ping"])
def test_every_event_of_the_contract_is_accepted(api: Api, event: str) -> None:
    answer = send(api, body_of(event), event=event)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "accepted")


def test_it_wakes_who_applies_once_it_is_stored(api: Api) -> None:
    woken = []
    object.__setattr__(api.services, "wake", lambda: woken.append(len(rows(api))))
    send(api, body_of("workflow_run"))
    send(api, body_of("workflow_run"), signature="sha256=" + "0" * 64)
    assert woken == [1]


def test_W2_the_same_id_again_is_200(api: Api) -> None:
    assert send(api, body_of("workflow_run")).status_code == 202
    for _ in range(4):
        answer = send(api, body_of("workflow_run"))
        assert (answer.status_code, answer.get_json()["status"]) == (200, "repeated")
    assert len(rows(api)) == 1


def test_W7_both_secrets_count_during_a_rotation(make_api: Callable[..., Api]) -> None:
    api = make_api(github_webhook_secret=(Secret("new"), Secret("old")))
    body = body_of("ping")
    for number, (secret, status) in enumerate([("new", 202), ("old", 202), ("older", 401)]):
        assert send(api, body, event="ping", guid=str(number), signature=signed(body, secret)).status_code == status


def test_W7_without_a_secret_the_route_is_not_there(make_api: Callable[..., Api]) -> None:
    api = make_api()
    body = body_of("workflow_run")
    for given in (signed(body, ""), signed(body), None):
        assert send(api, body, signature=given).status_code == 404
    assert rows(api) == []


WRONG = [
    None, "", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "sha256=" + "é" * 64, "\xff" * 71, "x" * 5000,
    signed(body_of("workflow_run")).upper(), signed(body_of("workflow_run"))[:-1], signed(body_of("workflow_job")),
]  # fmt: skip


@pytest.mark.parametrize("given", WRONG)
def test_W7_a_bad_or_missing_signature_is_401_and_nothing_is_parsed(
    api: Api, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(webhook, "document", parsed.append)
    monkeypatch.setattr(fields.json, "loads", parsed.append)
    answer = send(api, body_of("workflow_run"), signature=given)
    monkeypatch.undo()
    assert answer.status_code == 401
    assert answer.get_json()["error"]["type"] == "unauthorized"
    assert parsed == []
    assert rows(api) == []


def test_W7_a_sha1_signature_alone_is_401(api: Api) -> None:
    body = body_of("workflow_run")
    sha1 = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    headers = headers_of(body, signature=None) | {"X-Hub-Signature": f"sha1={sha1}"}
    assert api.open(PATH, "POST", data=body, content_type="application/json", headers=headers).status_code == 401


def test_W7_no_key_opens_it(api: Api) -> None:
    assert api.open(PATH, "POST", "boss", json={}, headers=headers_of(b"x")).status_code == 401


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "json", None]
)
def test_W7_another_content_type_is_415(api: Api, content_type: str | None) -> None:
    assert send(api, body_of("workflow_run"), content_type).status_code == 415
    assert rows(api) == []


def test_W7_a_compressed_body_is_415(api: Api) -> None:
    body = body_of("workflow_run")
    headers = headers_of(body) | {"Content-Encoding": "gzip"}
    assert api.open(PATH, "POST", data=body, content_type="application/json", headers=headers).status_code == 415


def no_5xx(api: Api, requests: int) -> None:
    """Send deliveries with something in them changed: none is accepted but those that still are what was signed."""
    rng = random.Random(7)
    good = body_of("workflow_run")
    for number in range(requests):
        body, given = good, signed(good)
        if rng.random() < 0.5:
            body = mutated(good, rng)
        else:
            given = mutated(given.encode(), rng).decode("latin-1").replace("\n", "").replace("\r", "")
        untouched = (body, given) == (good, signed(good))
        status = send(api, body, guid=f"g-{number}", signature=given).status_code
        assert status == (202 if untouched else 401), (given, status)


def test_W7_mutations_are_401(api: Api) -> None:
    no_5xx(api, 200)


@pytest.mark.proof
def test_W7_ten_thousand_mutations_are_401(api: Api) -> None:
    no_5xx(api, 10_000)


def test_W9_a_body_above_the_cap_is_413_and_not_read(api: Api) -> None:
    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("read")

        readinto = readline = read

    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(webhook.LARGEST_BYTES + 1)}
    headers = headers_of(b"")
    answer = api.open(PATH, "POST", content_type="application/json", headers=headers, environ_overrides=environ)
    assert answer.status_code == 413


def test_A6_reading_stops_at_the_cap_where_no_length_was_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LARGEST_BYTES", 200_000)

    class Endless:
        given = 0

        def read(self, size: int = -1) -> bytes:
            size = 8192 if size < 0 else min(size, 8192)
            self.given += size
            return b"x" * size

        def readinto(self, into: Any) -> int:
            found = self.read(len(into))
            into[: len(found)] = found
            return len(found)

    body = Endless()
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = api.open(PATH, "POST", content_type="application/json", headers=headers_of(b""), environ_overrides=environ)
    assert answer.status_code == 413
    assert body.given <= 1.1 * 200_000


def test_W9_25_mib_of_another_event_are_ignored(api: Api) -> None:
    body = b'{"x":"' + b"a" * (webhook.LARGEST_BYTES - 8) + b'"}'
    answer = send(api, body, event="push")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "ignored")
    answer = send(api, body, guid="other")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "ignored")
    assert "larger" in answer.get_json()["why"]
    assert {row.body for row in rows(api)} == {None}


def test_I8_large_bodies_are_read_a_few_at_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b" " * signature.LARGE_BYTES + body_of("ping")
    for _ in range(signature.MOST_LARGE):
        signature._large.acquire()
    refused = send(api, body, event="ping")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert send(api, body_of("ping"), event="ping").status_code == 202, "small ones go on"
    for _ in range(signature.MOST_LARGE):
        signature._large.release()
    for number in range(2 * signature.MOST_LARGE):
        assert send(api, body, event="ping", guid=f"n-{number}").status_code == 202


@pytest.mark.parametrize("event", ["push", "check_run", "workflow_dispatch", "zen", "a" * 64])
def test_W9_an_unknown_event_is_ignored(api: Api, event: str) -> None:
    answer = send(api, b"not even json", event=event)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "ignored")


def test_W9_an_unknown_action_is_ignored(api: Api) -> None:
    answer = send(api, body_of("workflow_run", action="rerequested"))
    assert (answer.status_code, answer.get_json()["why"]) == (202, "this action is not known")


@pytest.mark.parametrize("repository", [{"id": 5, "full_name": "evil/corp"}, {"full_name": "acme/shop-1"}, None, []])
def test_W9_another_repository_is_ignored(api: Api, repository: object) -> None:
    """Where GitHub's own id is known, a name alone is not enough."""
    answer = send(api, body_of("workflow_run", repository=repository))
    assert (answer.status_code, answer.get_json()["why"]) == (202, "this repository is not watched")


@pytest.mark.parametrize(
    "over",
    [
        {"event": None}, {"event": ""}, {"event": "Workflow Run"}, {"event": "é"}, {"event": "a" * 65}, {"guid": None},
        {"guid": ""}, {"guid": "a b"}, {"guid": "a" * 65}, {"guid": "\xff"}, {"guid": "../x"}, {"event": "../x"},
    ],
)  # fmt: skip
def test_M13_a_wrong_header_is_400(api: Api, over: dict[str, str | None]) -> None:
    assert send(api, body_of("workflow_run"), **over).status_code == 400
    assert rows(api) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"\xff\xfe", b"[" * 100_000, b'{"id":' + b"9" * 5000 + b"}", b'{"a": Infinity}']
)
def test_M13_signed_and_broken_is_400(api: Api, body: bytes) -> None:
    assert send(api, body).status_code == 400
    assert rows(api) == []


@pytest.mark.parametrize("number", [2**63, 10**25, -1, 1.5, "\ud800", [[[]]]])
def test_M13_absurd_values_are_no_5xx(api: Api, number: object) -> None:
    body = body_of("workflow_run", repository={"id": number, "full_name": number})
    assert send(api, body).status_code == 202


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("database is locked"),
        DatabaseFull("full"),
    ],
)
def test_W5_what_can_not_be_committed_is_503(api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    if isinstance(error, sqlite3.Error):
        codes = {"database or disk is full": sqlite3.SQLITE_FULL, "disk I/O error": sqlite3.SQLITE_IOERR}
        error.sqlite_errorcode = codes.get(str(error), sqlite3.SQLITE_BUSY)

    def broken(conn: Any) -> None:
        raise error

    api.db._patience = 0.05
    monkeypatch.setattr("sqlalchemy.engine.Connection.commit", broken)
    answer = send(api, body_of("workflow_run"))
    monkeypatch.undo()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert rows(api) == []
    assert send(api, body_of("workflow_run")).status_code == 202


def test_I8_when_too_many_wait_no_more_are_taken(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_WAITING", 2)
    said = [send(api, body_of("workflow_run"), guid=str(number)).status_code for number in range(4)]
    assert said == [202, 202, 503, 503]
    assert len(rows(api)) == 2
    # What needs no waiting is answered as ever.
    assert send(api, body_of("ping"), event="ping", guid="ping").status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_no_other_method(api: Api, method: str) -> None:
    answer = api.open(PATH, method, headers=headers_of(b""))
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", [PATH + "/", PATH])
def test_A5_with_and_without_a_slash(api: Api, path: str) -> None:
    body = body_of("ping")
    assert (
        api.open(
            path, "POST", data=body, content_type="application/json", headers=headers_of(body, event="ping")
        ).status_code
        == 202
    )
    unsigned = api.open(
        path, "POST", data=body, content_type="application/json", headers=headers_of(body, signature=None)
    )
    assert unsigned.status_code == 401


@pytest.mark.parametrize(("module", "name"), [(webhook, "is_signed"), (webhook, "may_be_signed"), (signature, "check")])
def test_an_error_in_the_guard_refuses(api: Api, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("broken guard")

    monkeypatch.setattr(module, name, broken)
    answer = send(api, body_of("workflow_run"))
    assert answer.status_code == 500
    assert b"broken guard" not in answer.get_data()
    assert rows(api) == []


def test_deliveries_are_counted_without_a_series_for_every_word(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[str, str]] = []
    monkeypatch.setattr(
        webhooks.telemetry, "count", lambda name, event="", answer="", **more: counted.append((event, answer))
    )
    send(api, body_of("workflow_run"))
    send(api, b"{}", event="made_up", guid="b")
    send(api, b"{", guid="c")
    told = [one for one in counted if one[0]]
    assert told == [("workflow_run", "accepted"), ("other", "ignored"), ("workflow_run", "not JSON")]


def test_the_secret_is_in_no_answer_and_in_no_row(api: Api) -> None:
    answers = [send(api, body_of("workflow_run"), signature=given) for given in (signed(body_of("workflow_run")), None)]
    assert not any(SECRET.encode() in answer.get_data() for answer in answers)
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in api.db.path.parent.iterdir() if path.is_file())  # type: ignore[union-attr]
