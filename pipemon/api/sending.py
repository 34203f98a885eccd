"""Messages that people send by hand, events that they describe, and what was given up and is sent again."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import caller, scope
from pipemon.api.channels import room
from pipemon.api.errors import refuse
from pipemon.api.schemas import notifications as shapes
from pipemon.api.services import services
from pipemon.notify import message
from pipemon.notify.dispatch import UNFORESEEN
from pipemon.notify.facts import to_rule
from pipemon.notify.message import Message
from pipemon.notify.rules import FAILURES, Fact, Index
from pipemon.queries import notifications as queries
from pipemon.store import notifications, rules
from pipemon.store.notifications import Intent

bp = Blueprint("sending", __name__, url_prefix="/api/v1/notifications", description="Who is told what")

# So long somebody who sends by hand is kept waiting for the channel's word.
PATIENCE_SECONDS = 3.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Sent:
    message: str
    status: str
    notification_id: int | None


@bp.post("/slack/send")
@scope("operate")
@bp.takes_body(shapes.Send)
@bp.returns(shapes.Sent)
def send(wanted: dict[str, Any]) -> _Sent:
    """Send a text, with blocks of Slack's if you like, to a channel (by default `slack`)."""
    said = Message(wanted["text"][: message.LONGEST_TITLE], wanted["text"], blocks=tuple(wanted["blocks"]))
    return _send(said, wanted["channel"] or "slack", wanted["rule_id"])


@bp.post("/test/slack")
@scope("operate")
@bp.takes_body(shapes.Test)
@bp.returns(shapes.Sent)
def test(wanted: dict[str, Any]) -> _Sent:
    """Send a test message to a channel (by default `slack`)."""
    said = Message("pipemon can reach you", "A test message, sent by hand.", facts=(("Sent by", caller().name),))
    return _send(said, wanted["channel"] or "slack", None)


def _send(said: Message, channel: str, rule_id: int | None) -> _Sent:
    own, found = services(), room().channels.get(channel)
    if found is None:
        refuse(422, "This channel is not configured.", {"channel": [f"There is no channel {channel}."]})
    with own.db.read() as conn:
        if rule_id is not None and rules.get_rule(conn, rule_id) is None:
            refuse(422, "There is no such rule.", {"rule_id": [f"There is no rule {rule_id}."]})
    now = services().clock()
    intent = Intent(
        f"hand:{uuid4().hex}", channel, found.recipient, "single", said.to_json(), said.text, now, now, rule_id,
        why=f"sent by {caller().name}",
    )  # fmt: skip
    made = own.db.transact(lambda conn: notifications.add(conn, intent))
    room().ring()
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        entry = next((one for one in queries.history(own.db, 50, channel, None) if one.id == made), None)
        if entry is None or entry.status != "pending" or time.monotonic() > until:
            break
        time.sleep(LOOK_SECONDS)
    status = entry.status if entry else "pending"
    words = {"sent": "It was sent.", "failed": f"It was not taken: {entry.error_message if entry else None}."}
    return _Sent(words.get(status, "It waits to be sent."), status, made)


@dataclass(frozen=True, slots=True)
class _Triggered:
    rule_id: int
    channel: str
    status: str
    notification_id: int | None


@dataclass(frozen=True, slots=True)
class _Processed:
    event_type: str
    triggered_rules: list[int]
    notifications_sent: list[_Triggered]
    timestamp: int


@bp.post("/process/pipeline-event")
@scope("operate")
@bp.takes_body(shapes.PipelineEvent)
@bp.returns(shapes.Processed)
def process(wanted: dict[str, Any]) -> _Processed:
    """Hold an event that you describe against the rules, and tell it to whom they say."""
    own, build, name = services(), wanted["build"], wanted["type"]
    now = services().clock()
    try:
        said = message.of_event(name, {**build, "workflow": build.get("workflow") or build.get("name")}, int(now))
    except UNFORESEEN:
        refuse(422, "The event can't be told.", {"build": [f"Its values are not those of {name}."]})

    def work(conn: Any) -> list[_Triggered]:
        index = Index(to_rule(rule) for rule in rules.list_rules(conn))
        found = []
        for rule, _ in index.matching(_fact(name, build)):
            for channel in rule.channels:
                known = room().channels.get(channel)
                intent = Intent(
                    f"given:{uuid4().hex}", channel, known.recipient if known else channel, "single", said.to_json(),
                    said.text, now, now, rule.id, None, name, None, "pending" if known else "suppressed",
                    f"given by {caller().name}" if known else f"there is no channel {channel}",
                )  # fmt: skip
                made = notifications.add(conn, intent)
                found.append(_Triggered(rule.id, channel, "pending" if known else "suppressed", made))
        return found

    triggered = own.db.transact(work)
    room().ring()
    return _Processed(name, sorted({one.rule_id for one in triggered}), triggered, int(own.clock()))


def _fact(name: str, build: Mapping[str, Any]) -> Fact:
    def text(key: str) -> str | None:
        value = build.get(key)
        return value if isinstance(value, str) else None

    seconds = build.get("duration_seconds")
    return Fact(
        names=(name,),
        repository=text("repository") or "",
        workflow=text("workflow") or text("name"),
        branch=text("branch"),
        default_branch=None,
        status=text("status"),
        conclusion=text("conclusion"),
        event=text("event"),
        author=text("author") or text("actor"),
        failures=1 if name in FAILURES else 0,
        duration_seconds=seconds if isinstance(seconds, int) else None,
    )


@dataclass(frozen=True, slots=True)
class _Replayed:
    message: str
    channel: str
    count: int


@bp.post("/replay")
@scope("operate")
@bp.takes_body(shapes.Replay)
@bp.returns(shapes.Replayed)
def replay(wanted: dict[str, Any]) -> _Replayed:
    """Send again what was given up for a channel, which is tried again too."""
    channel = wanted["channel"]
    if channel not in room().channels:
        refuse(422, "This channel is not configured.", {"channel": [f"There is no channel {channel}."]})

    def work(conn: Any) -> int:
        notifications.note_channel(conn, channel, disabled_why=None, next_at=0.0)
        return notifications.replay(conn, channel, services().clock())

    count = services().db.transact(work)
    room().ring()
    return _Replayed(f"{count} messages wait to be sent again.", channel, count)
