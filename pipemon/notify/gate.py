"""Whether something may be told just now: asked when it is decided on, and once more when it is sent (N6)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from pipemon.domain.times import format_time
from pipemon.notify.facts import fact_of
from pipemon.notify.quiet import Quiet, awake_at
from pipemon.notify.rules import Fact, any_matches
from pipemon.store import events
from pipemon.store import rules as stored
from pipemon.store.notifications import repository_of


def muted(mutes: Sequence[Mapping[str, Any]], muted_until: float | None, fact: Fact, now: float) -> str | None:
    """Return why an event is told to nobody just now, None where it is. `muted_until` is that of the rule."""
    if now < (muted_until or 0):
        return f"the rule is muted until {format_time(muted_until)}"
    for mute in mutes:
        until = float(mute.get("until") or 0)
        globs = {name: mute[name] for name in ("repository", "workflow", "branch") if mute.get(name)}
        if now < until and all(any_matches([glob], getattr(fact, name) or "") for name, glob in globs.items()):
            return f"muted: {mute.get('reason') or 'no reason was given'}"
    return None


class Waiting(Protocol):
    """What is asked of a message that waits."""

    @property
    def rule_id(self) -> int | None:
        """The rule by which it is told; none, where somebody sent it by hand or it is about pipemon itself."""

    @property
    def event_id(self) -> int | None:
        """The event of which it tells."""

    @property
    def group_key(self) -> str | None:
        """The incident that it is of."""


def quiet_until(conn: Connection, waiting: Waiting, now: float) -> float | None:
    """Return until when the rule's quiet hours hold a message; None where they do not.

    What was due before they began, and was not taken, waits for their end too; and they are those of today's rule.
    """
    if waiting.rule_id is None or waiting.event_id is None:
        return None
    rule = stored.get_rule(conn, waiting.rule_id)
    at = now if rule is None else awake_at(Quiet.of(rule.quiet_hours), now)
    return at if at > now else None


def why_not(conn: Connection, waiting: Waiting, now: float) -> str | None:
    """Return why a message that waited is not told any more, None where it is.

    What it says was settled when its event came, whatever became of the rule since; that it is told at all was not.
    """
    if waiting.rule_id is None or waiting.event_id is None:
        return None
    rule, state = stored.get_rule(conn, waiting.rule_id), stored.get_state(conn)
    if rule is None:
        return "its rule was deleted"
    if not rule.enabled:
        return "its rule was disabled"
    mutes = state.settings.get("mutes", ()) if state else ()
    if not mutes and rule.muted_until is None:
        return None
    row = events.get(conn, waiting.event_id)
    fact = (
        Fact((), repository_of(waiting.group_key))
        if row is None
        else fact_of(conn, row.type, json.loads(row.data), row.run_id, asks_usual=False)
    )
    return muted(mutes, rule.muted_until, fact, now)
