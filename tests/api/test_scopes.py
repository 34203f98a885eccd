"""Who may call what: every route for every caller."""

import hashlib
from typing import Any

import pytest
from flask import Flask

from pipemon.api.auth import SCOPES, Identity, scope
from pipemon.domain.secrets import Secret
from tests.api.conftest import Api, key_of

# Route -> the scope it needs: written here once more, so that a slip in the views shows.
NEEDED = {
    "/": "none",
    "/health": "none",
    "/metrics": "read",
    "/openapi.json": "read",
    "/asyncapi.json": "read",
    "/docs": "read",
    "/redoc": "read",
    "/static/<path:name>": "none",
    "/api/v1/pipeline/overview": "read",
    "/api/v1/pipeline/status": "read",
    "/api/v1/pipeline/metrics": "read",
    "/api/v1/pipeline/recent": "read",
    "/api/v1/builds": "read",
    "/api/v1/builds/<id:build_id>": "read",
    "/api/v1/builds/<id:build_id>/logs": "read",
    "/api/v1/builds/<id:build_id>/jobs/<id:job_id>/logs": "read",
    "/api/v1/builds/<id:build_id>/jobs/<id:job_id>/failure": "read",
    "/api/v1/builds/<id:build_id>/rerun": "operate",
    "/api/v1/builds/<id:build_id>/cancel": "operate",
    "/api/v1/analytics/definitions": "read",
    "/api/v1/analytics/overview": "read",
    "/api/v1/analytics/dora": "read",
    "/api/v1/analytics/regressions": "read",
    "/api/v1/analytics/flaky": "read",
    "/api/v1/analytics/queue": "read",
    "/api/v1/analytics/cost": "read",
    "/api/v1/analytics/trends": "read",
    "/api/v1/analytics/mttr": "read",
    "/api/v1/analytics/incidents": "read",
    "/api/v1/analytics/performance": "read",
    "/api/v1/analytics/failures": "read",
    "/api/v1/analytics/failures/signatures": "read",
    "/api/v1/analytics/workflows/comparison": "read",
    "/api/v1/audit": "admin",
    "/api/v1/notifications/rules": "read",
    "/api/v1/notifications/rules/<id:rule_id>": "admin",
    "/api/v1/notifications/history": "read",
    "/api/v1/notifications/settings": "read",
    "/api/v1/notifications/status": "read",
    "/api/v1/notifications/slack/send": "operate",
    "/api/v1/notifications/test/slack": "operate",
    "/api/v1/notifications/process/pipeline-event": "operate",
    "/api/v1/notifications/rules/preview": "read",
    "/api/v1/notifications/replay": "operate",
    "/api/v1/builds/history/rollbacks": "read",
    "/api/v1/deployments": "read",
    "/api/v1/deployments/<id:deployment_id>": "read",
    "/api/v1/deployments/<id:deployment_id>/verdict": "operate",
    "/api/v1/environments": "read",
    "/api/v1/events": "read",
    "/api/v1/live/ticket": "read",
    "/api/v1/webhooks/github": "signature",
}
SENDS = ("slack/send", "test/slack", "process/pipeline-event", "replay", "rules/preview")
WRITES = {
    *(f"/api/v1/notifications/{name}" for name in SENDS),
    "/api/v1/notifications/rules/<id:rule_id>",
    "/api/v1/live/ticket",
    "/api/v1/deployments/<id:deployment_id>/verdict",
    "/api/v1/builds/<id:build_id>/rerun",
    "/api/v1/builds/<id:build_id>/cancel",
}
PROBES = {"/probe/operate": "operate", "/probe/admin": "admin"}
GRANTED = {"reader": "read", "operator": "operate", "boss": "admin", None: "none", "wrong": None}


def add_probes(app: Flask) -> None:
    """Two writes, as later rooms will bring them."""

    def answer() -> str:
        return "done"

    for path, needed in PROBES.items():
        view = scope(needed)(lambda: answer())
        app.add_url_rule(path, path, view, methods=["POST"])


def call(api: Api, path: str, who: str | None) -> int:
    headers = {"X-API-Key": "pmk_wrong"} if who == "wrong" else {}
    key = who if who != "wrong" else None
    if path.endswith("/verdict"):
        body = {"kind": "change"}
        path = path.replace("<id:deployment_id>", "1")
        return api.open(path, "PUT", key, headers={**headers, "If-Match": '"1"'}, json=body).status_code
    method = (
        "DELETE"
        if "rule_id" in path
        else "POST"
        if path in PROBES or path in WRITES or NEEDED.get(path) == "signature"
        else "GET"
    )
    json = {} if method == "POST" else None
    path = (
        path.replace("<id:build_id>", "1")
        .replace("<id:job_id>", "1")
        .replace("<id:rule_id>", "1")
        .replace("<id:deployment_id>", "1")
        .replace("<path:name>", "docs/redoc.js")
    )
    return api.open(path, method, key, headers=headers, json=json).status_code


def expected(needed: str, who: str | None, *, reads_are_open: bool) -> int:
    if needed == "none":
        return 200
    if needed == "signature":
        return 401  # no key opens it, the administrator's neither
    if who == "wrong":
        return 401
    granted = "read" if who is None and reads_are_open else GRANTED[who]
    assert granted is not None
    if SCOPES.index(granted) >= SCOPES.index(needed):
        return 200
    return 401 if who is None else 403


@pytest.mark.parametrize("who", GRANTED)
@pytest.mark.parametrize(
    ("settings", "reads_are_open"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "10.1.2.3"}, False),
        ({"host": "ci.example.com"}, False),
        ({"host": "0.0.0.0", "allow_anonymous_read": True}, True),
    ],
)
def test_every_route_for_every_caller(make_api: Any, settings: Any, reads_are_open: bool, who: str | None) -> None:
    api: Api = make_api(add_probes, github_webhook_secret=(Secret("s"),), **settings)
    routes = {rule.rule for rule in api.app.url_map.iter_rules() if not rule.websocket}
    assert routes == set(NEEDED) | set(PROBES), "a route is not in this table"
    for path, needed in {**NEEDED, **PROBES}.items():
        wanted = expected(needed, who, reads_are_open=reads_are_open and path not in WRITES)
        found = call(api, path, who)
        if path.startswith("/api/v1/notifications") and path in WRITES and wanted == 200:
            wanted = 404 if "rule_id" in path else 422  # nothing of that body can be done
        if ("build_id" in path or "deployment_id" in path) and wanted == 200:
            # Logs need a flag, which this reader's key does not have.
            wanted = 403 if path.endswith(("logs", "failure")) and who == "reader" else 404
        assert found == wanted, (path, who)


def test_a_route_without_a_scope_does_not_start(make_api: Any) -> None:
    def add(app: Flask) -> None:
        app.add_url_rule("/open", "open", lambda: "open")

    with pytest.raises(RuntimeError, match="/open"):
        make_api(add)


@pytest.mark.parametrize("name", ["superuser", "", None])
def test_nor_does_one_with_a_scope_that_is_none(make_api: Any, name: Any) -> None:
    def add(app: Flask) -> None:
        app.add_url_rule("/open", "open", scope(name)(lambda: "open"))

    with pytest.raises(RuntimeError, match="/open"):
        make_api(add)


def test_both_ways_to_send_a_key(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0")
    path, key = "/api/v1/builds", key_of("reader")
    for headers in ({"Authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key} "}, {"X-API-Key": key}):
        assert api.open(path, headers=headers).status_code == 200, headers
    # A proxy's own Basic credentials are no key of ours, and stand in no key's way.
    assert api.open(path, headers={"Authorization": "Basic eDp5"}).status_code == 401
    assert api.open(path, headers={"Authorization": "Basic eDp5", "X-API-Key": key}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        key_of("reader")[:-1], key_of("reader") + "x", key_of("reader").upper(), "é" * 20, "\xe2\x82\xac",
        hashlib.sha256(key_of("reader").encode()).hexdigest(), "null", "Bearer", "*",
    ],
)  # fmt: skip
def test_a_forged_key_is_401(make_api: Any, sent: str) -> None:
    api: Api = make_api(host="0.0.0.0")
    answer = api.open("/api/v1/builds", headers={"X-API-Key": sent})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert sent not in answer.get_data(as_text=True)


def test_a_key_in_the_address_is_none(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0")
    assert api.open(f"/api/v1/builds?api_key={key_of('boss')}").status_code == 401


def test_identity() -> None:
    assert Identity("a", "operate", True).may("read") and not Identity("a", "operate", True).may("admin")
    assert not Identity("a", "none", False).may("read")
    assert len({Identity("a", one, logs).sees for one in SCOPES for logs in (True, False)}) == 8
