"""The doors of notifications: rules, history, settings, status, and what is sent by hand."""

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.api.channels import Room
from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.notify.channels.email import Email, Server
from pipemon.notify.channels.slack import Slack
from pipemon.notify.outbox import Outbox
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.store import notifications, rules
from pipemon.store.schema_notifications import notifications as stored
from tests.api.conftest import Api
from tests.notify.inbox import Inbox
from tests.notify.mailserver import MailServer

PATH = "/api/v1/notifications"
RULE = {"name": "Main", "trigger_events": ["build_failed"], "channels": ["slack"]}
FIELDS = {
    "id", "name", "description", "trigger_events", "conditions", "channels", "enabled", "created_at", "updated_at",
    "quiet_hours", "muted_until",
}  # fmt: skip


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as found:
        yield found


@pytest.fixture
def api(make_api: Callable[..., Api], inbox: Inbox) -> Api:
    found = make_api()
    channel = Slack("slack", Secret(inbox.url), poster(Outbound(Allowed.of(["127.0.0.1"]))))
    outbox = Outbox(found.db, {"slack": channel}, lambda ticks=itertools.count(4_000_000_000, 5): float(next(ticks)))
    found.outbox = outbox  # type: ignore[attr-defined]
    object.__setattr__(found.services, "notify", Room({"slack": channel}, outbox.step))
    found.db.transact(lambda conn: rules.begin(conn, "e", 0, int(found.clock())))
    return found


def send(api: Api, method: str, path: str, body: Any = None, key: str | None = "boss", **headers: str) -> Any:
    return api.open(f"{PATH}{path}", method, key, json=body, headers=headers)


def test_a_rule_lives(api: Api) -> None:
    assert [rule["name"] for rule in api.get(f"{PATH}/rules")] == ["Build Failures", "Deployment Success"]
    made = send(api, "POST", "/rules", RULE)
    assert made.status_code == 201
    rule = made.get_json()
    assert set(rule) == FIELDS
    assert made.headers["Location"] == f"{PATH}/rules/{rule['id']}"
    conditions = [{"type": "branch", "value": ["main", "!old*"]}, {"type": "consecutive_failures", "value": 3}]
    changed = send(api, "PUT", f"/rules/{rule['id']}", {"conditions": conditions, "enabled": False}).get_json()
    assert changed == rule | {"conditions": conditions, "enabled": False, "updated_at": changed["updated_at"]}
    deleted = send(api, "DELETE", f"/rules/{rule['id']}")
    assert (deleted.status_code, deleted.get_json()["rule_id"]) == (200, rule["id"])
    assert send(api, "DELETE", f"/rules/{rule['id']}").status_code == 404
    assert send(api, "PUT", f"/rules/{rule['id']}", {"name": "x"}).status_code == 404


def test_quiet_hours_and_a_mute_come_and_go(api: Api) -> None:
    wanted = {"quiet_hours": {"from": "22:00", "to": "07:00"}, "muted_until": "2026-12-01T10:00:00+02:00"}
    shown = send(api, "PUT", "/rules/1", wanted).get_json()
    whole = {"from": "22:00", "to": "07:00", "tz": "UTC", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    assert (shown["quiet_hours"], shown["muted_until"]) == (whole, "2026-12-01T08:00:00Z")
    # What was shown is taken back.
    assert send(api, "PUT", "/rules/1", {"quiet_hours": shown["quiet_hours"]}).get_json()["quiet_hours"] == whole
    gone = send(api, "PUT", "/rules/1", {"quiet_hours": None, "muted_until": None}).get_json()
    assert (gone["quiet_hours"], gone["muted_until"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"trigger_events": []}, "trigger_events"),
        ({"trigger_events": ["build_exploded"]}, "trigger_events"),
        ({"trigger_events": "build_failed"}, "trigger_events"),
        ({"channels": ["pager"]}, "channels"),
        ({"channels": []}, "channels"),
        ({"conditions": [{"type": "moon", "value": "full"}]}, "conditions"),
        ({"conditions": [{"type": "branch"}]}, "conditions"),
        ({"conditions": [{"type": "branch", "value": 5}]}, "conditions"),
        ({"conditions": [{"type": "branch", "value": "x" * 201}]}, "conditions"),
        ({"conditions": [{"type": "branch", "value": ["x"] * 51}]}, "conditions"),
        ({"conditions": [{"type": "consecutive_failures", "value": "3"}]}, "conditions"),
        ({"conditions": [{"type": "branch", "value": "x"}] * 21}, "conditions"),
        ({"enabled": "yes"}, "enabled"),
        ({"quiet_hours": {"from": "22:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "24:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "7:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Mars/Olympus"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00", "days": ["someday"]}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00", "days": []}}, "quiet_hours"),
        ({"quiet_hours": "always"}, "quiet_hours"),
        ({"muted_until": "tomorrow"}, "muted_until"),
        ({"id": 5}, "id"),
    ],
)
def test_a_wrong_rule_is_422_and_changes_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    before = api.get(f"{PATH}/rules")
    for method, path in (("POST", "/rules"), ("PUT", "/rules/1")):
        answer = send(api, method, path, RULE | change)
        assert answer.status_code == 422, (method, change)
        assert field in answer.get_json()["error"]["details"]
    assert api.get(f"{PATH}/rules") == before


def test_A4_a_change_of_what_has_changed_is_412(api: Api) -> None:
    first = send(api, "PUT", "/rules/1", {"name": "one"})
    tag = first.headers["ETag"]
    assert send(api, "PUT", "/rules/1", {"name": "two"}, **{"If-Match": tag}).status_code == 200
    assert send(api, "PUT", "/rules/1", {"name": "three"}, **{"If-Match": tag}).status_code == 412
    assert api.get(f"{PATH}/rules")[0]["name"] == "two"


@pytest.mark.parametrize("key", [None, "reader", "operator"])
def test_only_admins_change_rules_and_settings(api: Api, key: str | None) -> None:
    calls = [("POST", "/rules", RULE), ("PUT", "/rules/1", {}), ("DELETE", "/rules/1", None), ("PUT", "/settings", {})]
    assert {send(api, *call, key=key).status_code for call in calls} == {401 if key is None else 403}


def test_sending_by_hand(api: Api, inbox: Inbox) -> None:
    answer = send(api, "POST", "/slack/send", {"text": "hello <!channel>"}, key="operator")
    assert answer.status_code == 200
    body = answer.get_json()
    assert (set(body), body["status"]) == ({"message", "status", "notification_id"}, "sent")
    assert "<!channel>" not in inbox.texts[0]
    entry = api.get(f"{PATH}/history")[0]
    assert set(entry) == {
        "id", "rule_id", "channel", "recipient", "message", "status", "sent_at", "error_message", "metadata",
    }  # fmt: skip
    assert (entry["id"], entry["status"], entry["recipient"]) == (body["notification_id"], "sent", "slack …part")
    test = send(api, "POST", "/test/slack", None, key="operator").get_json()
    assert test["status"] == "sent"
    for wrong in ({"text": ""}, {"text": " \u200b\n"}, {"text": "x", "rule_id": 99}):
        assert send(api, "POST", "/slack/send", wrong, key="operator").status_code == 422
    assert send(api, "POST", "/slack/send", {"text": "x", "channel": "no"}, key="operator").status_code == 422
    assert send(api, "POST", "/slack/send", {"text": "x"}, key="reader").status_code == 403


def test_mail_has_a_status_of_its_own(api: Api) -> None:
    with MailServer({"MAIL": "550 not you"}) as server:
        mail = Email("email", Server("127.0.0.1", server.port, "builds@example.com", clear=True), ("ada@example.com",))
        outbox = Outbox(api.db, {"email": mail}, lambda ticks=itertools.count(4_000_000_000, 5): float(next(ticks)))
        object.__setattr__(api.services, "notify", Room({"email": mail}, outbox.step))
        assert api.get(f"{PATH}/settings")["email_enabled"] is True
        sent = send(api, "POST", "/test/slack", {"channel": "email"}, key="operator").get_json()
    assert sent["status"] == "failed"
    shown = api.get(f"{PATH}/status")
    assert (shown["email_status"], shown["slack_status"]) == ("unhealthy", "not_configured")
    assert api.get(f"{PATH}/history")[0]["recipient"] == "a…@example.com"


def test_what_is_not_taken_is_told(api: Api, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (404, "no_service", {})
    body = send(api, "POST", "/test/slack", None, key="operator").get_json()
    assert (body["status"], "no_service" in body["message"]) == ("failed", True)
    assert api.get(f"{PATH}/status")["slack_status"] == "unhealthy"
    inbox.script = lambda number, body: (200, "ok", {})
    again = send(api, "POST", "/replay", {"channel": "slack"}, key="operator").get_json()
    assert again["count"] == 1
    api.outbox.step()  # type: ignore[attr-defined]
    assert api.get(f"{PATH}/history?status=sent")[0]["id"] == body["notification_id"]
    assert api.get(f"{PATH}/status")["slack_status"] == "healthy"


def test_the_history_is_filtered(api: Api) -> None:
    for number in range(5):
        state = "suppressed" if number % 2 else "sent"
        intent = notifications.Intent(f"k{number}", "slack", "r", "single", "{}", f"t{number}", 0, 0, state=state)
        api.db.transact(lambda conn, one=intent: notifications.add(conn, one))
    assert [one["message"] for one in api.get(f"{PATH}/history?limit=2")] == ["t4", "t3"]
    assert [one["message"] for one in api.get(f"{PATH}/history?status=suppressed")] == ["t3", "t1"]
    assert api.get(f"{PATH}/history?channel=other") == []
    for query in ("limit=0", "limit=201", "status=lost", "x=1"):
        assert api.open(f"{PATH}/history?{query}").status_code == 422


def test_settings_are_kept_and_checked(api: Api) -> None:
    shown = api.get(f"{PATH}/settings")
    assert (shown["slack_enabled"], shown["email_enabled"], shown["default_channels"]) == (True, False, ["slack"])
    assert set(shown) >= {"webhook_enabled", "rate_limit_per_hour", "retry_attempts", "retry_delay_seconds"}
    changed = send(api, "PUT", "/settings", {"retry_attempts": 3}).get_json()
    assert changed == shown | {"retry_attempts": 3} == api.get(f"{PATH}/settings")
    for wrong in (
        {"retry_attempts": 0},
        {"retry_attempts": "3"},
        {"slack_enabled": False},
        {"default_channels": ["x"]},
        {"mutes": [{"branch": "main"}]},
        {"mutes": [{"branch": "main", "until": ""}]},
        {"mutes": [{"branch": "main", "until": "tomorrow"}]},
        {"mutes": [{"branch": "", "until": "2026-12-01T08:00:00Z"}]},
    ):
        assert send(api, "PUT", "/settings", wrong).status_code == 422
    assert "secretpart" not in str(api.get(f"{PATH}/settings"))


def test_a_mute_is_shown_as_it_was_given_and_taken_back(api: Api) -> None:
    mute = {"branch": "release/*", "until": "2026-12-01T08:00:00Z", "reason": "release day"}
    shown = send(api, "PUT", "/settings", {"mutes": [mute]}).get_json()["mutes"]
    assert shown == [mute | {"repository": None, "workflow": None}] == api.get(f"{PATH}/settings")["mutes"]
    assert send(api, "PUT", "/settings", {"mutes": shown}).get_json()["mutes"] == shown


@pytest.mark.parametrize("text", ["half \ud800", "with \x00 within"])
def test_A1_a_text_that_no_database_takes_is_422(api: Api, text: str) -> None:
    before = api.get(f"{PATH}/rules")
    for method, path, body in (
        ("POST", "/rules", RULE | {"name": text}),
        ("PUT", "/rules/1", {"description": text}),
        ("PUT", "/rules/1", {"conditions": [{"type": "branch", "value": [text]}]}),
        ("POST", "/slack/send", {"text": text}),
        ("POST", "/slack/send", {"text": "x", "blocks": [{"type": "section", text: "x"}]}),
        ("POST", "/process/pipeline-event", {"type": "build_failed", "build": {"branch": text}}),
        ("PUT", "/settings", {text: 1}),
    ):
        assert send(api, method, path, body).status_code == 422, (method, path)
    assert (api.get(f"{PATH}/rules"), api.get(f"{PATH}/history")) == (before, [])


def test_I8_there_are_not_more_rules_than_may_be(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipemon.api.notifications.MOST_RULES", 3)
    assert [send(api, "POST", "/rules", RULE).status_code for _ in range(2)] == [201, 409]
    assert len(api.get(f"{PATH}/rules")) == 3


def test_quiet_hours_that_end_let_go_what_they_held(api: Api, inbox: Inbox) -> None:
    """Not what waits for an interval to end: that comes when it would have come without them."""
    send(api, "PUT", "/rules/1", {"quiet_hours": {"from": "00:00", "to": "23:59"}})
    now = api.clock()
    for kind in ("opener", "summary"):
        intent = notifications.Intent(kind, "slack", "r", kind, "{}", "t", now, now + 50_000, 1)
        api.db.transact(lambda conn, one=intent: notifications.add(conn, one))
    send(api, "PUT", "/rules/1", {"name": "another"})
    due = sa.select(stored.c.due_at).order_by(stored.c.id)
    with api.db.read() as conn:
        assert list(conn.execute(due).scalars()) == [now + 50_000] * 2
    send(api, "PUT", "/rules/1", {"quiet_hours": None})
    with api.db.read() as conn:
        assert list(conn.execute(due).scalars()) == [now, now + 900]


def test_the_status(api: Api) -> None:
    found = api.get(f"{PATH}/status")
    assert set(found) == {
        "overall_status", "active_rules", "total_rules", "recent_notifications_count", "successful_notifications_count",
        "failed_notifications_count", "slack_status", "email_status", "last_notification_at",
        "pending_count", "timestamp",
    }  # fmt: skip
    assert (found["overall_status"], found["active_rules"], found["total_rules"]) == ("healthy", 2, 2)
    assert (found["slack_status"], found["email_status"]) == ("healthy", "not_configured")


def test_an_event_that_somebody_describes(api: Api, inbox: Inbox) -> None:
    event = {"type": "build_failed", "build": {"name": "CI", "branch": "main", "repository": "octo/shop"}}
    answer = send(api, "POST", "/process/pipeline-event", event, key="operator").get_json()
    assert set(answer) == {"event_type", "triggered_rules", "notifications_sent", "timestamp"}
    assert answer["triggered_rules"] == [1]
    assert set(answer["notifications_sent"][0]) == {"rule_id", "channel", "status", "notification_id"}
    assert "CI failed on main" in inbox.texts[0]
    other = event | {"build": {"name": "CI", "branch": "topic"}}
    assert send(api, "POST", "/process/pipeline-event", other, key="operator").get_json()["triggered_rules"] == []
    for wrong in (
        {"type": "moon", "build": {}},
        {"type": "build_failed"},
        {"type": "build_failed", "build": []},
        {"type": "build_failed", "build": {"branch": "main", "duration_seconds": "long"}},
        {"type": "budget_low", "build": {}},
    ):
        assert send(api, "POST", "/process/pipeline-event", wrong, key="operator").status_code == 422


def test_without_any_channel_it_says_so(make_api: Callable[..., Api]) -> None:
    api = make_api()
    object.__setattr__(api.services, "notify", Room())
    found = api.get(f"{PATH}/status")
    assert (found["overall_status"], found["slack_status"]) == ("healthy", "not_configured")
    assert SimpleNamespace(**api.get(f"{PATH}/settings")).slack_enabled is False
