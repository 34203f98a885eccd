"""The outbox as rows: an intent is committed with the cursor that made it, claimed under a lease, and closed.

States: pending, leased, retry (all three wait), sent, dead (given up), suppressed (decided against, with the reason).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_notifications import notification_channels, notifications
from pipemon.store.upsert import upsert

WAITING = ("pending", "retry", "leased")
# Openers and repairs go before summaries: a storm must not hold up the first word of something else.
_ORDER = sa.case((notifications.c.kind == "summary", 1), else_=0)
# What was or will be told, by itself or within a digest.
TOLD = sa.or_(
    notifications.c.state != "suppressed",
    sa.and_(notifications.c.kind != "single", notifications.c.why.startswith("told by message ")),
)


@dataclass(frozen=True, slots=True)
class Intent:
    """Something to be told, or the decision not to. `message` is its JSON; moments in seconds."""

    dedupe_key: str
    channel: str
    recipient: str
    kind: str
    message: str
    text: str
    created_at: float
    due_at: float
    rule_id: int | None = None
    group_key: str | None = None
    event_type: str | None = None
    event_id: int | None = None
    state: str = "pending"
    why: str | None = None
    represents: int = 1


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to send now. `possible_duplicate`: who had it before may have sent it."""

    id: int
    rule_id: int | None
    channel: str
    message: str
    tries: int
    possible_duplicate: bool
    group_key: str | None = None
    event_id: int | None = None
    kind: str = "single"

    @property
    def repository(self) -> str:
        """Whose event it tells of; empty where it is of none: sent by hand, or about pipemon itself."""
        return repository_of(self.group_key)


@dataclass(frozen=True, slots=True)
class Group:
    """The newest message of a group that was not suppressed."""

    id: int
    kind: str
    state: str
    due_at: float
    represents: int
    event_id: int | None


@dataclass(frozen=True, slots=True)
class Opener:
    """The message that told that it broke. `is_repaired`: that it is repaired was told, or waits to be."""

    reference: str
    message: str
    possible_duplicate: bool
    is_repaired: bool


def repository_of(group_key: str | None) -> str:
    """Return whose events a group tells of; empty where they are of none."""
    return (group_key or "").partition("|")[2].partition("|")[2].partition("|")[0]


def add(conn: Connection, intent: Intent) -> int | None:
    """Store an intent; return its id, None where its key is known."""
    row = {name: getattr(intent, name) for name in Intent.__dataclass_fields__}
    known = sa.select(notifications.c.id).where(notifications.c.dedupe_key == intent.dedupe_key)
    if conn.execute(known).one_or_none() is not None:
        return None
    made: int = conn.execute(sa.insert(notifications).values(row).returning(notifications.c.id)).scalar_one()
    return made


def newest_of_group(conn: Connection, group_key: str) -> Group | None:
    """Return the newest message of a group that was or will be told, by itself or within a digest."""
    columns = (notifications.c[name] for name in Group.__dataclass_fields__)
    query = sa.select(*columns).where(notifications.c.group_key == group_key, TOLD)
    row = conn.execute(query.order_by(notifications.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Group(*row)


def nth_opened_at(conn: Connection, group_key: str, nth: int) -> float:
    """Return when the nth newest incident of a group was opened, counting from 1; 0 where there were fewer."""
    opener = (notifications.c.group_key == group_key) & (notifications.c.kind == "opener") & TOLD
    query = sa.select(notifications.c.created_at).where(opener).order_by(notifications.c.id.desc())
    return float(conn.execute(query.offset(nth - 1).limit(1)).scalar() or 0)


def represent(conn: Connection, notification_id: int, message: str, text: str, events: int = 1) -> None:
    """Let a waiting message stand for more events."""
    values = {"represents": notifications.c.represents + events, "message": message, "text": text}
    conn.execute(sa.update(notifications).where(notifications.c.id == notification_id).values(values))


def next_due(conn: Connection, channel: str, now: float) -> Claimed | None:
    """Return the message of a channel that is to be sent now; one whose lease is over may have been sent already.

    Of an incident what came first goes first: a repair that overtook its opener would leave the last word to that.
    """
    table, before = notifications.c, notifications.alias("before")
    waits = sa.text("notifications.state IN ('pending', 'retry', 'leased')")
    free = sa.or_(table.state != "leased", table.leased_until < now)
    earlier = sa.select(before.c.id).where(
        before.c.group_key == table.group_key, before.c.id < table.id, before.c.kind != "single",
        before.c.state.in_(WAITING),
    )  # fmt: skip
    has_its_turn = sa.or_(table.kind == "single", sa.not_(earlier.exists()))
    query = sa.select(notifications).where(waits, table.channel == channel, table.due_at <= now, free, has_its_turn)
    row = conn.execute(query.order_by(_ORDER, table.id).limit(1)).one_or_none()
    if row is None:
        return None
    uncertain = bool(row.possible_duplicate or row.state == "leased")
    more = (row.group_key, row.event_id, row.kind)
    return Claimed(row.id, row.rule_id, channel, row.message, row.tries + 1, uncertain, *more)


def claim(conn: Connection, due: Claimed, until: float) -> None:
    """Take the message: until then it is nobody else's."""
    _change(
        conn, due.id, state="leased", leased_until=until, tries=due.tries, possible_duplicate=due.possible_duplicate
    )


def mark_sent(conn: Connection, notification_id: int, now: float, reference: str | None) -> None:
    """Record that a message was sent, and what its channel calls it."""
    _change(conn, notification_id, state="sent", leased_until=None, sent_at=now, error=None, reference=reference)


def mark_dead(conn: Connection, claimed: Claimed, error: str) -> bool:
    """Record that a message is given up; False where it is somebody else's by now."""
    return _settle(conn, claimed, state="dead", error=error)


def hold(conn: Connection, notification_id: int, until: float, possible_duplicate: bool) -> None:
    """Let a message wait for a moment to come; one that may have arrived is not taken for one that nobody saw."""
    state = "retry" if possible_duplicate else "pending"
    _change(conn, notification_id, state=state, due_at=until, leased_until=None, possible_duplicate=possible_duplicate)


def suppress(conn: Connection, notification_id: int, why: str) -> None:
    """Record that a message is told to nobody after all."""
    _change(conn, notification_id, state="suppressed", leased_until=None, why=why)


def _change(conn: Connection, notification_id: int, **values: Any) -> None:
    conn.execute(sa.update(notifications).where(notifications.c.id == notification_id).values(values))


def _settle(conn: Connection, claimed: Claimed, **values: Any) -> bool:
    """Close a claim; False where that is over, since somebody else has claimed or settled the message meanwhile."""
    table = notifications.c
    mine = (table.id == claimed.id) & (table.state == "leased") & (table.tries == claimed.tries)
    changed = sa.update(notifications).where(mine).values({**values, "leased_until": None})
    return conn.execute(changed).rowcount == 1


def opener_of(conn: Connection, claimed: Claimed) -> Opener | None:
    """Return the message that opened this one's incident; None where it has none, or its channel has no name for it."""
    table = notifications.c
    mine = sa.and_(table.group_key == claimed.group_key, TOLD)
    columns = (table.kind, table.reference, table.message, table.possible_duplicate)
    edges = sa.select(*columns).where(mine, table.id < claimed.id, table.kind.in_(("opener", "recovery")))
    row = conn.execute(edges.order_by(table.id.desc()).limit(1)).one_or_none()
    # A repair before this one ended another incident; an opener without a reference was told otherwise, or not at all.
    if row is None or row.kind != "opener" or row.reference is None:
        return None
    later = sa.select(table.id).where(mine, table.id > claimed.id, table.kind == "recovery")
    is_repaired = claimed.kind == "summary" and bool(conn.execute(sa.select(later.exists())).scalar())
    return Opener(row.reference, row.message, row.possible_duplicate, is_repaired)


def put_off(conn: Connection, claimed: Claimed, due_at: float, error: str, possible_duplicate: bool) -> None:
    """Let a message wait until it is tried again."""
    values: dict[str, Any] = {"state": "retry", "due_at": due_at, "error": error}
    if possible_duplicate:
        values["possible_duplicate"] = True
    _settle(conn, claimed, **values)


def give_up_waiting(conn: Connection, channel: str, error: str) -> int:
    """Give up all that waits for a channel; it is kept, and can be sent again."""
    where = sa.text("notifications.state IN ('pending', 'retry', 'leased')")
    mine = notifications.c.channel == channel
    return conn.execute(sa.update(notifications).where(where, mine).values(state="dead", error=error)).rowcount


def replay(conn: Connection, channel: str, now: float) -> int:
    """Let all that was given up for a channel wait again; return how many messages that are."""
    dead = (notifications.c.state == "dead") & (notifications.c.channel == channel)
    values = {"state": "pending", "due_at": now, "tries": 0, "error": "sent again"}
    return conn.execute(sa.update(notifications).where(dead).values(values)).rowcount


def count_sent(conn: Connection, channel: str, since: float) -> int:
    """Return how many messages a channel was given since then."""
    table = notifications.c
    query = sa.select(sa.func.count()).where(table.channel == channel, table.state == "sent", table.sent_at >= since)
    return conn.execute(query).scalar_one()


def list_channels(conn: Connection) -> Sequence[Any]:
    """Return what is known of each channel."""
    return conn.execute(sa.select(notification_channels)).all()


def know_channel(conn: Connection, name: str, fingerprint: str) -> None:
    """Know a channel; where its settings have changed, nothing that was said of it holds any more."""
    query = sa.select(notification_channels.c.fingerprint).where(notification_channels.c.name == name)
    if conn.execute(query).scalar_one_or_none() != fingerprint:
        row = {"name": name, "fingerprint": fingerprint, "disabled_why": None, "next_at": 0.0}
        upsert(conn, notification_channels, [row])


def note_channel(conn: Connection, name: str, **values: object) -> None:
    """Note what a sending has shown of a channel."""
    conn.execute(sa.update(notification_channels).where(notification_channels.c.name == name).values(values))
