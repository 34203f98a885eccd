"""Whether something may be told just now: asked when it is decided on, and once more when it is sent (N6)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pipemon.domain.times import format_time
from pipemon.notify.facts import fact_of
from pipemon.notify.rules import Fact, any_matches
from pipemon.store import events
from pipemon.store import rules as stored
from pipemon.store.notifications import Claimed


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


def why_not(conn: Connection, claimed: Claimed, now: float) -> str | None:
    """Return why a message that waited is not told any more, None where it is.

    What it says was settled when its event came, whatever became of the rule since; that it is told at all was not.
    """
    if claimed.rule_id is None or claimed.event_id is None:
        return None  # somebody sent it by hand, or it is about pipemon itself
    rule, state = stored.get_rule(conn, claimed.rule_id), stored.get_state(conn)
    if rule is None:
        return "its rule was deleted"
    if not rule.enabled:
        return "its rule was disabled"
    mutes = state.settings.get("mutes", ()) if state else ()
    if not mutes and rule.muted_until is None:
        return None
    row = events.get(conn, claimed.event_id)
    fact = Fact((), claimed.repository) if row is None else fact_of(conn, row.type, json.loads(row.data), row.run_id)
    return muted(mutes, rule.muted_until, fact, now)
