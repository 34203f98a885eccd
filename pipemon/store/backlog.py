"""What waited because a channel could not be reached: told together, and nothing of it is lost."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store import notifications as stored
from pipemon.store.notifications import Intent
from pipemon.store.schema_notifications import notification_channels, notifications

# A message that nothing was sent before or after for so long is given up.
LONGEST_WAIT_SECONDS = 3 * 86400
# One that was not taken is tried again within this time, with its jitter.
LONGEST_RETRY_SECONDS = 1200
# So many become one at most; of more there are several.
MOST_FOLDED = 200


def list_old(conn: Connection, channel: str, before: float, now: float) -> Sequence[Any]:
    """Return the messages of a channel that were due before then, or made and not taken, the oldest first.

    No digest is among them, nor what waits for a moment to come: the end of quiet hours, or of an interval.
    """
    table = notifications.c
    waits = sa.text("notifications.state IN ('pending', 'retry', 'leased')")
    free = sa.or_(table.state != "leased", table.leased_until < now)
    columns = (table.id, table.kind, table.message, table.represents, table.possible_duplicate, table.state)
    asked = (table.rule_id, table.event_id, table.group_key)
    tried = (table.created_at < before) & (table.due_at <= now + LONGEST_RETRY_SECONDS) & (table.tries > 0)
    query = sa.select(*columns, *asked).where(waits, free, table.channel == channel, table.kind != "digest")
    return conn.execute(query.where(sa.or_(table.due_at < before, tried)).order_by(table.id).limit(MOST_FOLDED)).all()


def fold(conn: Connection, rows: Sequence[Any], intent: Intent) -> None:
    """Put one message in the place of these; each of them says by which it is told."""
    number = stored.add(conn, intent)
    uncertain = any(row.possible_duplicate or row.state == "leased" for row in rows)
    conn.execute(sa.update(notifications).where(notifications.c.id == number).values(possible_duplicate=uncertain))
    told = sa.update(notifications).where(notifications.c.id.in_([row.id for row in rows]))
    conn.execute(told.values(state="suppressed", why=f"told by message {number}", leased_until=None))


def release(conn: Connection, rule_id: int, now: float, summary_at: float) -> None:
    """Let what quiet hours hold of a rule be looked at again, since they have changed.

    Of an incident that goes on no summary comes before its moment.
    """
    table = notifications.c
    mine = (table.rule_id == rule_id) & (table.state == "pending")
    held = sa.update(notifications).where(mine, table.kind != "summary", table.due_at > now)
    conn.execute(held.values(due_at=now))
    later = sa.update(notifications).where(mine, table.kind == "summary", table.due_at > summary_at)
    conn.execute(later.values(due_at=summary_at))


def is_hopeless(conn: Connection, notification_id: int, channel: str, now: float) -> bool:
    """Whether it is this message that is not taken, and not the channel that takes nothing."""
    made = conn.execute(sa.select(notifications.c.created_at).where(notifications.c.id == notification_id)).scalar_one()
    query = sa.select(notification_channels.c.last_sent_at).where(notification_channels.c.name == channel)
    sent = conn.execute(query).scalar()
    return bool((sent is not None and sent > made) or now - made > LONGEST_WAIT_SECONDS)
