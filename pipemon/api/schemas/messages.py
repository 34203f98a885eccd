"""The shapes of the WebSocket's messages, each with an example that the protocol itself has written."""

import json
from dataclasses import dataclass
from typing import Any

from pipemon.domain.events import TOPICS, TYPES, topic_of
from pipemon.live import protocol

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
EVENT_ID: Schema = {"type": "integer", "minimum": 0, "maximum": protocol.LARGEST_ID}
MOMENT: Schema = {"type": "string", "format": "date-time"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": protocol.LONGEST_NAME}
SHORT: Schema = {"type": "string", "maxLength": protocol.LONGEST_NAME}


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `payload` is its JSON Schema, each of `examples` is valid by it."""

    name: str
    summary: str
    payload: Schema
    examples: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the log, for the examples."""

    topic: str
    type: str
    data: str
    id: int = 4712
    repository: str = "octo-harbor/shop"
    occurred_at: int = 1_795_442_800
    recorded_at: float = 1_795_442_801.25
    historic: bool = False


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _of(required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    """Return the schema of an object; it may gain fields."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}, **more}


def _message(kind: str, required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    return _of({"type": {"const": kind}, **required}, optional, **more)


def _names(most: int, what: str) -> Schema:
    return {"type": ["array", "null"], "items": NAME, "maxItems": most, "description": what}


BUILD_DATA = _of(
    {"build_id": WHOLE, "run_attempt": WHOLE, "workflow": _maybe(TEXT), "branch": _maybe(TEXT)},
    {
        "run_number": WHOLE, "workflow_id": WHOLE, "repository": TEXT, "commit_sha": _maybe(TEXT),
        "commit_message": TEXT, "event": _maybe(TEXT), "actor": _maybe(TEXT), "status": TEXT,
        "conclusion": _maybe(TEXT), "previous_status": _maybe(TEXT), "previous_conclusion": _maybe(TEXT),
        "started_at": _maybe(MOMENT), "completed_at": _maybe(MOMENT), "duration_seconds": _maybe(COUNT),
        "url": _maybe(TEXT),
        "inferred": {"const": True, "description": "A step that must have been and that nobody saw."},
        "job_id": WHOLE, "job": TEXT, "job_conclusion": _maybe(TEXT), "failed_step": _maybe(TEXT),
        "job_url": _maybe(TEXT), "jobs_completed": COUNT, "jobs_total": COUNT,
        "running_seconds": COUNT, "p99_seconds": COUNT, "queued_seconds": COUNT,
        "labels": {"type": "array", "items": TEXT}, "since": _maybe(MOMENT), "failures": COUNT,
    },
    description="Of a deleted build, or one that is there again, only what is required is told.",
)  # fmt: skip
PIPELINE_DATA = _of({
    "repository": TEXT, "running_count": COUNT, "queued_count": COUNT,
    "build_ids": {"type": "array", "items": WHOLE}, "branches": {"type": "array", "items": TEXT},
})  # fmt: skip
DEPLOYMENT_DATA = _of(
    {
        "deployment_id": WHOLE, "repository": TEXT, "environment": TEXT, "ref": _maybe(TEXT), "commit_sha": TEXT,
        "creator": _maybe(TEXT), "status": TEXT, "created_at": MOMENT, "completed_at": MOMENT, "url": _maybe(TEXT),
    },
    {
        "kind": {"enum": ["rollback", "revert"]}, "rule": TEXT, "blamed_deployment_id": _maybe(WHOLE),
        "previous_deployment_id": WHOLE, "previous_commit_sha": TEXT,
    },
    description="Of a deployment: its end, or that it is a rollback.",
)  # fmt: skip
BUDGET_DATA = _of(
    {"remaining": COUNT, "limit": COUNT, "reset_at": MOMENT},
    description="Of GitHub's calls: how many are left of how many, and until when. It is of no repository.",
)
ANALYTICS_DATA = _of({"repository": TEXT, "builds": COUNT, "last_build_event_id": EVENT_ID})
NOTIFICATION_DATA = _of(
    {"notification_id": WHOLE, "rule_id": _maybe(WHOLE), "channel": TEXT, "status": {"enum": ["sent", "failed"]}}
)
# Topic -> the name and the schema of its events' data.
DATA = {
    "builds": ("BuildData", BUILD_DATA),
    "pipeline": ("PipelineData", {"anyOf": [PIPELINE_DATA, DEPLOYMENT_DATA, BUDGET_DATA]}),
    "analytics": ("AnalyticsData", ANALYTICS_DATA),
    "notifications": ("NotificationData", NOTIFICATION_DATA),
}
EXAMPLES: dict[str, tuple[str, dict[str, object]]] = {
    "builds": (
        "build_failed",
        {
            "build_id": 30000000001, "run_attempt": 1, "run_number": 118, "workflow": "CI", "workflow_id": 93001,
            "repository": "octo-harbor/shop", "branch": "main", "commit_sha": "b7c9a1f04d52",
            "commit_message": "Fix the login form", "event": "push", "actor": "dev-ada", "status": "completed",
            "conclusion": "failure", "started_at": "2026-11-23T14:02:11Z", "completed_at": "2026-11-23T14:06:40Z",
            "duration_seconds": 269, "url": "https://github.com/octo-harbor/shop/actions/runs/30000000001",
            "previous_status": "in_progress",
        },
    ),
    "pipeline": (
        "pipeline_updated",
        {
            "repository": "octo-harbor/shop", "running_count": 2, "queued_count": 1,
            "build_ids": [30000000001], "branches": ["main"],
        },
    ),
    "analytics": (
        "analytics_updated", {"repository": "octo-harbor/shop", "builds": 3, "last_build_event_id": 4711},
    ),
    "notifications": (
        "notification_sent", {"notification_id": 12, "rule_id": 1, "channel": "slack", "status": "sent"},
    ),
}  # fmt: skip

TOPIC_LIST: Schema = {"type": "array", "items": {"enum": list(TOPICS)}}
EPOCH = "f3b1c2d47a90"


def incoming() -> list[Message]:
    """Return what a client may say."""
    topics = {**TOPIC_LIST, "minItems": 1}
    filters = {
        "repositories": _names(protocol.MOST_NAMES, "owner/name; none or an empty list: all watched ones"),
        "branches": _names(protocol.MOST_NAMES, "none or an empty list: all"),
        "last_event_id": {**_maybe(EVENT_ID), "description": "resume after this event"},
        "epoch": {**_maybe(SHORT), "description": "of the log that last_event_id is from"},
    }
    shown = [{"required": [one], "properties": {one: SHORT, other: {"type": "null"}}}
             for one, other in (("key", "ticket"), ("ticket", "key"))]  # fmt: skip
    return [
        Message("auth", "Who I am; first, where reads need a key", _message("auth", {}, oneOf=shown),
                ({"type": "auth", "ticket": "pmt_8Jx0"}, {"type": "auth", "key": "pmk_4nTz"})),
        Message("subscribe", "Tell me of these", _message("subscribe", {"events": topics}, filters), (
            {"type": "subscribe", "events": ["builds"], "repositories": ["octo-harbor/shop"], "branches": ["main"]},
            {"type": "subscribe", "events": list(TOPICS), "last_event_id": 4711, "epoch": EPOCH},
        )),
        Message("unsubscribe", "No more of these", _message("unsubscribe", {"events": topics}),
                ({"type": "unsubscribe", "events": ["pipeline"]},)),
        Message("ping", "Is anybody there?", _message("ping", {}), ({"type": "ping"},)),
    ]  # fmt: skip


def answers() -> list[Message]:
    """Return what a client is told of its own messages and of its place in the log."""
    place = {"last_event_id": EVENT_ID, "epoch": TEXT}
    problem = _of({"message": TEXT, "type": TEXT, "details": {"type": "object"}, "timestamp": MOMENT})
    return [
        _told("authenticated", "The key or ticket is good", {"caller": TEXT}, protocol.authenticated("dashboard")),
        _told("subscription_confirmed", "Nothing will be missing after last_event_id", {"events": TOPIC_LIST, **place},
              protocol.confirmed(("builds",), 4711, EPOCH)),
        _told("pong", "Somebody is", {}, protocol.pong()),
        _told("resync", "Events in between are not held: read the state anew, then go on from last_event_id",
              {**place, "reason": TEXT}, protocol.resync(4711, EPOCH, "epoch: the log was restored or lost its tail")),
        _told("error", "A message that makes no sense; the connection stays", {"error": problem},
              protocol.error("The message can't be understood.", "validation_error",
                             {"events": [f"Not a list of: {', '.join(TOPICS)}."]}, 1_795_442_801.25)),
    ]  # fmt: skip


def updates() -> list[Message]:
    """Return what a client is told of events: a message for each topic that has any."""
    names = {topic: [name for name in TYPES if topic_of(name) == topic] for topic in TOPICS}
    return [_update(topic, found) for topic, found in names.items() if found]


def _update(topic: str, names: list[str]) -> Message:
    fields = {
        "id": {**EVENT_ID, "minimum": 1}, "event": {"enum": names}, "repository": TEXT, "occurred_at": MOMENT,
        "historic": {"type": "boolean"}, "timestamp": {**MOMENT, "description": "when it was recorded"},
        "data": {"$ref": f"#/components/schemas/{DATA[topic][0]}"},
    }  # fmt: skip
    name, data = EXAMPLES[topic]
    summary = f"Something happened, of the topic {topic}"
    return _told(protocol.UPDATES[topic], summary, fields, protocol.update(Row(topic, name, json.dumps(data))))


def _told(name: str, summary: str, fields: dict[str, Schema], example: str) -> Message:
    return Message(name, summary, _message(name, fields), (json.loads(example),))
