"""Actions as rows: the intent before GitHub is asked, the outcome after, and whose turn it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.actions import Action
from pipemon.store.schema import runs
from pipemon.store.schema_actions import actions

# GitHub asks for a second between two changes.
BETWEEN_SECONDS = 1.0
# Whoever would have to wait longer than this is asked to come again.
LONGEST_QUEUE_SECONDS = 10.0
KEPT_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Stored:
    """An action as it stands. `state`: asked, accepted, refused or unknown.

    `asked_at` is when its intent was stored, `slot_at` when GitHub is (or was) asked; both by the local clock.
    `status` and `reason` are our answer's where it was refused.
    """

    id: int
    action: Action
    run_attempt: int
    state: str
    asked_at: float
    slot_at: float
    status: int | None = None
    reason: str | None = None


class TooMany(Exception):
    """So many actions wait for their second that no more are taken."""


def claim(conn: Connection, caller: str, key: str | None, action: Action, now: float) -> tuple[Stored, bool]:
    """Store the intent of an action and return it with True; or, with False, what has this key already.

    Raises TooMany, and LookupError where there is no such run.
    """
    _lock(conn)
    if key is not None:
        known = _find(conn, actions.c.caller == caller, actions.c.key == key)
        if known:
            return known[0], False
    # One later than anybody is ever given was given by a clock that was set back since.
    latest = actions.c.slot_at <= now + LONGEST_QUEUE_SECONDS + BETWEEN_SECONDS
    last = conn.execute(sa.select(sa.func.max(actions.c.slot_at)).where(latest)).scalar_one()
    slot_at = max(now, (last or 0) + BETWEEN_SECONDS)
    if slot_at > now + LONGEST_QUEUE_SECONDS:
        raise TooMany
    attempt = conn.execute(sa.select(runs.c.run_attempt).where(runs.c.id == action.build_id)).scalar_one_or_none()
    if attempt is None:
        raise LookupError(action.build_id)
    conn.execute(sa.delete(actions).where(actions.c.slot_at < now - KEPT_SECONDS))
    row = {name: getattr(action, name) for name in ("verb", "repository", "build_id", "job_id", "debug")}
    row |= {"caller": caller, "key": key, "run_attempt": attempt, "state": "asked", "asked_at": now}
    row["slot_at"] = slot_at
    made = conn.execute(sa.insert(actions).values(row).returning(actions.c.id)).scalar_one()
    return Stored(made, action, attempt, "asked", now, slot_at), True


def _lock(conn: Connection) -> None:
    """Let one claim be made at a time: SQLite's transaction holds the file already."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("LOCK TABLE actions IN SHARE ROW EXCLUSIVE MODE"))


def forget(conn: Connection, action_id: int) -> None:
    """Take an intent back that came to nothing: GitHub was not asked, and the key may be used again."""
    conn.execute(sa.delete(actions).where(actions.c.id == action_id, actions.c.state == "asked"))


def end(
    conn: Connection, action_id: int, state: str, now: int, status: int | None = None, reason: str | None = None
) -> None:
    """Record how an action ended; one that ended already stays as it is."""
    values = {"state": state, "status": status, "reason": reason, "ended_at": now}
    conn.execute(sa.update(actions).where(actions.c.id == action_id, actions.c.state == "asked").values(values))


def get(conn: Connection, action_id: int) -> Stored | None:
    """Return the action with that id."""
    return next(iter(_find(conn, actions.c.id == action_id)), None)


def list_asked(conn: Connection) -> Sequence[Stored]:
    """Return the actions of which it is not known yet how they ended."""
    return _find(conn, sa.text("actions.state = 'asked'"))


def _find(conn: Connection, *where: sa.ColumnElement[bool] | sa.TextClause) -> list[Stored]:
    rows = conn.execute(sa.select(actions).where(*where).order_by(actions.c.id))
    return [
        Stored(
            row.id,
            Action(row.verb, row.repository, row.build_id, row.job_id, row.debug),
            row.run_attempt,
            row.state,
            row.asked_at,
            row.slot_at,
            row.status,
            row.reason,
        )
        for row in rows
    ]
