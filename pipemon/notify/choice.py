"""Which message of a channel is sent now: what may not go is marked so, and much that has waited long goes as one."""

from typing import Any

from sqlalchemy import Connection

from pipemon.notify import gate
from pipemon.notify.message import Message, digest
from pipemon.store import backlog, notifications
from pipemon.store.notifications import Claimed, Intent

# So many that have waited so long are told together.
MANY = 5
OLD_SECONDS = 3600.0
# Of a rule that was deleted thousands may wait: the rest has its turn in the next round.
MOST_ASKED = 50


def choose(conn: Connection, channel: str, recipient: str, now: float) -> Claimed | None:
    """Return the first of those that are due that may be told; of those that may not, some are marked at a time."""
    _gather(conn, channel, recipient, now)
    for _ in range(MOST_ASKED):
        due = notifications.next_due(conn, channel, now)
        if due is None or _may_go(conn, due, due.possible_duplicate, now):
            return due
    return None


def _may_go(conn: Connection, waiting: Any, possible_duplicate: bool, now: float) -> bool:
    """Whether a message is told now; where its rule says no, or not yet, it is marked so."""
    if (why_not := gate.why_not(conn, waiting, now)) is not None:
        notifications.suppress(conn, waiting.id, why_not)
        return False
    if (until := gate.quiet_until(conn, waiting, now)) is not None:
        notifications.hold(conn, waiting.id, until, possible_duplicate)
        return False
    return True


def _gather(conn: Connection, channel: str, recipient: str, now: float) -> None:
    """Where much has waited long, tell it as one: who comes back to a channel wants no flood."""
    rows = backlog.list_old(conn, channel, now - OLD_SECONDS, now)
    if len(rows) >= MANY:
        uncertain = [row.possible_duplicate or row.state == "leased" for row in rows]
        rows = [row for row, unsure in zip(rows, uncertain, strict=True) if _may_go(conn, row, unsure, now)]
    if len(rows) < MANY:
        return
    count = sum(row.represents for row in rows)
    waited = [(None if row.kind == "single" else row.group_key, Message.from_json(row.message)) for row in rows]
    said = digest(waited, count)
    key = f"digest:{channel}:{rows[0].id}-{rows[-1].id}"
    intent = Intent(
        key, channel, recipient, "digest", said.to_json(), said.text, now, now,
        why=f"{len(rows)} messages waited for over an hour", represents=count,
    )  # fmt: skip
    backlog.fold(conn, rows, intent)
