"""What people were told, and how the channels do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipemon.store.engine import Database
from pipemon.store.schema_notifications import notification_channels, notification_rules, notifications

# The public word of each state.
STATUS = {"pending": "pending", "leased": "pending", "retry": "pending", "sent": "sent", "dead": "failed",
          "suppressed": "suppressed"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the history. `recipient` is never a secret."""

    id: int
    rule_id: int | None
    channel: str
    recipient: str
    message: str
    status: str
    sent_at: int | None
    error_message: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """How notifications do: counts of the last hour, and the channels by name as they are known."""

    active_rules: int
    total_rules: int
    recent: int
    sent: int
    failed: int
    pending: int
    last_sent_at: float | None
    channels: Mapping[str, Any]


def history(db: Database, limit: int, channel: str | None, status: str | None) -> list[Entry]:
    """Return the newest messages, newest first."""
    query: Any = sa.select(notifications)
    if channel is not None:
        query = query.where(notifications.c.channel == channel)
    if status is not None:
        states = [state for state, word in STATUS.items() if word == status]
        query = query.where(notifications.c.state.in_(states))
    with db.read() as conn:
        return [_entry(row) for row in conn.execute(query.order_by(notifications.c.id.desc()).limit(limit))]


def _entry(row: Any) -> Entry:
    more = {
        "event_type": row.event_type,
        "event_id": row.event_id,
        "kind": row.kind,
        "represents": row.represents,
        "tries": row.tries,
        "why": row.why,
        "possible_duplicate": bool(row.possible_duplicate),
        "title": json.loads(row.message).get("title"),
    }
    failed = row.state in ("dead", "retry")
    sent_at = None if row.sent_at is None else int(row.sent_at)
    return Entry(
        row.id, row.rule_id, row.channel, row.recipient, row.text, STATUS[row.state], sent_at,
        (row.error or row.why) if failed else None, more,
    )  # fmt: skip


def counts(db: Database, now: float) -> Counts:
    """Return how notifications do at this moment."""
    table, since = notifications.c, now - 3600
    recent = sa.select(table.state, sa.func.count()).where(table.created_at >= since).group_by(table.state)
    waiting = sa.select(sa.func.count()).where(sa.text("notifications.state IN ('pending', 'retry', 'leased')"))
    with db.read() as conn:
        rules: Sequence[Any] = conn.execute(
            sa.select(notification_rules.c.enabled, sa.func.count()).group_by(notification_rules.c.enabled)
        ).all()
        by_state: dict[str, int] = dict(conn.execute(recent).all())
        channels = {row.name: row for row in conn.execute(sa.select(notification_channels))}
        pending = conn.execute(waiting.select_from(notifications)).scalar_one()
    return Counts(
        sum(count for enabled, count in rules if enabled),
        sum(count for _, count in rules),
        sum(count for state, count in by_state.items() if state != "suppressed"),
        by_state.get("sent", 0),
        by_state.get("dead", 0),
        pending,
        max((row.last_sent_at for row in channels.values() if row.last_sent_at is not None), default=None),
        channels,
    )
