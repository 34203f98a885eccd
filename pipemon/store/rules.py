"""Notification rules, and the settings of notifications, as rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_notifications import notification_rules, notification_state

_JSON = ("trigger_events", "conditions", "channels", "quiet_hours")


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as people wrote it. Moments in Unix seconds; `version` rises with each change."""

    id: int
    name: str
    description: str
    trigger_events: Sequence[str]
    conditions: Sequence[Mapping[str, Any]]
    channels: Sequence[str]
    enabled: bool
    created_at: int
    updated_at: int
    version: int = 1
    quiet_hours: Mapping[str, Any] | None = None
    muted_until: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Where dispatch stands in the log, and what was set at run time."""

    epoch: str
    last_event_id: int
    settings: Mapping[str, Any]
    rules_revision: int = 0


# What a fresh database begins with.
DEFAULTS: tuple[dict[str, Any], ...] = (
    {
        "name": "Build Failures",
        "description": "When a build on main fails or times out.",
        "trigger_events": ["build_failed", "build_timeout"],
    },
    {
        "name": "Deployment Success",
        "description": "When main was deployed.",
        "trigger_events": ["deployment_success"],
    },
)


def list_rules(conn: Connection) -> list[StoredRule]:
    """Return all rules, oldest first."""
    return [_rule(row) for row in conn.execute(sa.select(notification_rules).order_by(notification_rules.c.id))]


def get_rule(conn: Connection, rule_id: int) -> StoredRule | None:
    """Return one rule."""
    row = conn.execute(sa.select(notification_rules).where(notification_rules.c.id == rule_id)).one_or_none()
    return None if row is None else _rule(row)


def add_rule(conn: Connection, values: Mapping[str, Any], now: int) -> StoredRule:
    """Store a new rule and return it."""
    row = _packed(values) | {"created_at": now, "updated_at": now, "version": 1}
    made = conn.execute(sa.insert(notification_rules).values(row).returning(notification_rules)).one()
    _note_change(conn)
    return _rule(made)


def change_rule(conn: Connection, rule: StoredRule, values: Mapping[str, Any], now: int) -> StoredRule | None:
    """Change a rule and return it; None where somebody else has changed or deleted it since it was read."""
    row = _packed(values) | {"updated_at": now, "version": rule.version + 1}
    same = (notification_rules.c.id == rule.id) & (notification_rules.c.version == rule.version)
    changed = sa.update(notification_rules).where(same).values(row).returning(notification_rules)
    found = conn.execute(changed).one_or_none()
    _note_change(conn)
    return None if found is None else _rule(found)


def delete_rule(conn: Connection, rule_id: int) -> bool:
    """Delete a rule; return whether there was one."""
    _note_change(conn)
    return bool(conn.execute(sa.delete(notification_rules).where(notification_rules.c.id == rule_id)).rowcount)


def _note_change(conn: Connection) -> None:
    """Let those who keep the rules read them anew."""
    conn.execute(sa.update(notification_state).values(rules_revision=notification_state.c.rules_revision + 1))


def get_state(conn: Connection) -> State | None:
    """Return where dispatch stands; None before its first step."""
    row = conn.execute(sa.select(notification_state)).one_or_none()
    return None if row is None else State(row.epoch, row.last_event_id, json.loads(row.settings), row.rules_revision)


def begin(conn: Connection, epoch: str, last_event_id: int, now: int) -> None:
    """Begin on a fresh database: with the two rules that everybody has, at the end of the log."""
    if get_state(conn) is not None:
        return
    conn.execute(sa.insert(notification_state).values(id=1, epoch=epoch, last_event_id=last_event_id, settings="{}"))
    on_main = {"conditions": [{"type": "branch", "value": "main"}], "channels": ["slack"], "enabled": True}
    for rule in DEFAULTS:
        add_rule(conn, rule | on_main, now)


def set_position(conn: Connection, epoch: str, last_event_id: int) -> None:
    """Say up to which event everything was decided."""
    conn.execute(sa.update(notification_state).values(epoch=epoch, last_event_id=last_event_id))


def change_settings(conn: Connection, changes: Mapping[str, Any]) -> bool:
    """Change some of what is set at run time, of two at once one after the other; False before the first step."""
    row = conn.execute(sa.select(notification_state.c.settings).with_for_update()).one_or_none()
    if row is None:
        return False
    settings = {**json.loads(row.settings), **changes}
    conn.execute(sa.update(notification_state).values(settings=json.dumps(settings)))
    return True


def _packed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in _JSON and value is not None else value for name, value in values.items()}


def _rule(row: Any) -> StoredRule:
    values = dict(row._mapping)
    read = {name: json.loads(values[name]) for name in _JSON if values[name] is not None}
    return StoredRule(**{**values, **read})
