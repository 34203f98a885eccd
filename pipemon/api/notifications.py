"""`/notifications`: the rules, the settings, what was told, and how the channels do."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from flask import request
from sqlalchemy import Connection

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.channels import channel_status, check_channels, room
from pipemon.api.errors import refuse
from pipemon.api.schemas import notifications as shapes
from pipemon.api.schemas import rules as rule_shapes
from pipemon.api.services import services
from pipemon.notify import dispatch, outbox
from pipemon.queries import notifications as queries
from pipemon.store import backlog, rules
from pipemon.store.rules import StoredRule

bp = Blueprint("notifications", __name__, url_prefix="/api/v1/notifications", description="Who is told what")

NO_STORE = {"Cache-Control": "no-store"}
NO_MUTE = dict.fromkeys(("repository", "workflow", "branch", "reason"))
MOST_RULES = 10_000
DEFAULTS: Mapping[str, Any] = {
    "default_channels": ["slack"],
    "rate_limit_per_hour": 0,
    "retry_attempts": outbox.RETRY_ATTEMPTS,
    "group_interval_seconds": dispatch.GROUP_SECONDS,
    "mutes": [],
}


@bp.get("/rules")
@scope("read")
@bp.returns(rule_shapes.Rule(many=True))
def list_rules() -> tuple[list[StoredRule], dict[str, str]]:
    """List the rules."""
    with services().db.read() as conn:
        return rules.list_rules(conn), NO_STORE


@bp.post("/rules")
@scope("admin")
@bp.takes_body(rule_shapes.NewRule)
@bp.returns(rule_shapes.Rule, 201, description="The rule, with its id.")
@bp.also(409, description="There are as many rules as there may be.")
def add_rule(wanted: dict[str, Any]) -> tuple[StoredRule, int, dict[str, str]]:
    """Add a rule."""
    check_channels(wanted["channels"])
    own = services()

    def work(conn: Connection) -> StoredRule:
        if len(rules.list_rules(conn)) >= MOST_RULES:
            refuse(409, f"There are {MOST_RULES} rules, which is the most.")
        return rules.add_rule(conn, wanted, int(own.clock()))

    made = own.db.transact(work)
    return made, 201, {"Location": f"/api/v1/notifications/rules/{made.id}"}


@bp.put("/rules/<id:rule_id>")
@scope("admin")
@bp.takes_body(rule_shapes.RuleChanges(partial=True))
@bp.returns(rule_shapes.Rule)
@bp.also(404, description="There is no such rule.")
@bp.also(409, description="Somebody else has changed it at the same moment.")
@bp.also(412, description="It is not as the If-Match header says.")
def change_rule(wanted: dict[str, Any], rule_id: int) -> tuple[StoredRule, dict[str, str]]:
    """Change some fields of a rule; with `If-Match`, only if its `updated_at` version is still that one."""
    sent = request.get_json(silent=True) or {}
    changes = {name: value for name, value in wanted.items() if name in sent}
    if "channels" in changes:
        check_channels(changes["channels"])
    own = services()
    with own.db.read() as conn:
        before = rules.get_rule(conn, rule_id) or refuse(404, "There is no such rule.")
    if request.headers.get("If-Match") not in (None, "*", f'"{before.version}"'):
        refuse(412, "The rule was changed since.")
    now, interval = own.clock(), _settings()["group_interval_seconds"]

    def work(conn: Connection) -> StoredRule | None:
        changed = rules.change_rule(conn, before, changes, int(now))
        if changed is not None and changed.quiet_hours != before.quiet_hours:
            backlog.release(conn, rule_id, now, now + interval)
        return changed

    changed = own.db.transact(work)
    if changed is None:
        refuse(409, "The rule was changed by somebody else at the same moment.")
    return changed, {"ETag": f'"{changed.version}"'}


@bp.delete("/rules/<id:rule_id>")
@scope("admin")
@bp.returns(rule_shapes.Deleted)
@bp.also(404, description="There is no such rule.")
def delete_rule(rule_id: int) -> SimpleNamespace:
    """Delete a rule."""
    if not services().db.transact(lambda conn: rules.delete_rule(conn, rule_id)):
        refuse(404, "There is no such rule.")
    return SimpleNamespace(message="The rule was deleted.", rule_id=rule_id)


@bp.get("/history")
@scope("read")
@bp.takes(shapes.HistoryArguments)
@bp.returns(shapes.Entry(many=True))
def history(wanted: dict[str, Any]) -> tuple[list[queries.Entry], dict[str, str]]:
    """List what was told, newest first, and why something was not."""
    return queries.history(services().db, wanted["limit"], wanted["channel"], wanted["status"]), NO_STORE


@bp.get("/settings")
@scope("read")
@bp.returns(shapes.Settings)
def settings() -> tuple[SimpleNamespace, dict[str, str]]:
    """Show the settings; addresses and secrets are never among them."""
    return SimpleNamespace(**_settings()), NO_STORE


@bp.put("/settings")
@scope("admin")
@bp.takes_body(shapes.SettingsChanges)
@bp.returns(shapes.Settings)
def change_settings(wanted: dict[str, Any]) -> SimpleNamespace:
    """Change and keep what can change while it runs."""
    if "default_channels" in wanted:
        check_channels(wanted["default_channels"])

    def work(conn: Any) -> None:
        if not rules.change_settings(conn, wanted):
            refuse(503, "Notifications have not begun yet.", headers={"Retry-After": "5"})

    services().db.transact(work)
    return SimpleNamespace(**_settings())


def _settings() -> dict[str, Any]:
    with services().db.read() as conn:
        state = rules.get_state(conn)
    kept = state.settings if state else {}
    kinds = {channel.kind for channel in room().channels.values()}
    return {
        **DEFAULTS,
        **kept,
        "mutes": [SimpleNamespace(**NO_MUTE | mute) for mute in kept.get("mutes", ())],
        "slack_enabled": "slack" in kinds,
        "email_enabled": "email" in kinds,
        "webhook_enabled": "webhook" in kinds,
        "retry_delay_seconds": outbox.RETRY_SECONDS,
        "channels": sorted(room().channels),
    }


@bp.get("/status")
@scope("read")
@bp.returns(shapes.NotificationsStatus)
def status() -> tuple[SimpleNamespace, dict[str, str]]:
    """Show how notifications do, from what sendings have shown; no channel is called for it."""
    now = services().clock()
    found = queries.counts(services().db, now)
    slack = channel_status(found.channels, room().channels, "slack")
    words = [channel_status(found.channels, {name: one}, one.kind) for name, one in room().channels.items()]
    overall = "unhealthy" if words and all(word == "unhealthy" for word in words) else "healthy"
    if overall == "healthy" and any(word != "healthy" for word in words):
        overall = "degraded"
    shown = {
        "overall_status": overall,
        "active_rules": found.active_rules,
        "total_rules": found.total_rules,
        "recent_notifications_count": found.recent,
        "successful_notifications_count": found.sent,
        "failed_notifications_count": found.failed,
        "slack_status": slack,
        "email_status": channel_status(found.channels, room().channels, "email"),
        "last_notification_at": None if found.last_sent_at is None else int(found.last_sent_at),
        "pending_count": found.pending,
        "timestamp": int(now),
    }
    return SimpleNamespace(**shown), NO_STORE
