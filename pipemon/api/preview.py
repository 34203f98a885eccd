"""What a draft rule would have told: before it wakes anybody up."""

from dataclasses import dataclass
from typing import Any

import gevent

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.schemas import rules as rule_shapes
from pipemon.api.services import services
from pipemon.notify.dispatch import GROUP_SECONDS
from pipemon.notify.facts import Deploys, to_rule
from pipemon.notify.preview import Planned, Preview, in_order
from pipemon.store import events, rules
from pipemon.store.rules import StoredRule

bp = Blueprint("preview", __name__, url_prefix="/api/v1/notifications", description="Who is told what")

DAY_SECONDS = 86400
# So few at a time, with a real pause after them: a pause of nothing lets no timer run, and gunicorn's own is one.
PAGE = 20
PAUSE_SECONDS = 0.001
MOST_EVENTS = 20_000
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Found:
    messages_count: int
    events_represented: int
    messages: list[Planned]
    events_looked_at: int
    complete: bool
    looked_from: int | None
    timestamp: int


@bp.post("/rules/preview")
@scope("read")
@bp.takes_body(rule_shapes.PreviewArguments)
@bp.returns(rule_shapes.Preview)
def preview(wanted: dict[str, Any]) -> tuple[_Found, dict[str, str]]:
    """Hold a draft rule against the log: how many messages it would have sent, when, grouped how. Nothing is sent."""
    own, now = services(), int(services().clock())
    draft = StoredRule(
        0, wanted["name"], "", wanted["trigger_events"], wanted["conditions"], [], True, now, now,
        quiet_hours=wanted["quiet_hours"],
    )  # fmt: skip
    with own.db.read() as conn:
        state = rules.get_state(conn)
        after, complete, since = events.start_of(conn, now - wanted["days"] * DAY_SECONDS, MOST_EVENTS)
    interval = float((state.settings if state else {}).get("group_interval_seconds", GROUP_SECONDS))
    found = Preview(to_rule(draft), interval)
    deploys = Deploys(own.settings.deployment_workflows, own.settings.deployment_branches)
    looked = 0
    while True:
        # A page at a time: a draft must not hold up those who are told of real things.
        with own.db.read() as conn:
            rows = events.list_after(conn, after, PAGE)
            for row in rows:
                found.see(conn, row, deploys)
        looked += len(rows)
        if len(rows) < PAGE:
            break
        after = int(rows[-1].id)
        gevent.sleep(PAUSE_SECONDS)
    shown = in_order(found.messages)[-MOST_SHOWN:]
    answer = _Found(len(found.messages), found.represented, shown, looked, complete, since, now)
    return answer, {"Cache-Control": "no-store"}
