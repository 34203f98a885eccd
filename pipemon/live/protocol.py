"""The messages of the WebSocket, in and out: pure, no socket knows of it and it knows of none."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipemon.domain.events import TOPICS
from pipemon.domain.times import format_time

# A topic of the log -> the type under which a socket is told of its events.
UPDATES = {
    "pipeline": "pipeline_update",
    "builds": "build_update",
    "analytics": "analytics_update",
    "notifications": "notification_update",
}
MOST_NAMES = 500
LONGEST_NAME = 255
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Asks for events of topics; None filters nothing. Repositories are in lower case: on GitHub case tells nothing."""

    topics: tuple[str, ...]
    repositories: frozenset[str] | None = None
    branches: frozenset[str] | None = None
    last_event_id: int | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Asks for no more events of topics."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether anybody is there."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Shows a key, or a ticket."""

    key: str | None = None
    ticket: str | None = None


Message: TypeAlias = Subscribe | Unsubscribe | Ping | Auth


class Misunderstood(Exception):
    """A message that makes no sense. `kind` and `details` are those of the error that its sender gets."""

    def __init__(self, message: str, details: Mapping[str, object] | None = None, kind: str = "validation_error"):
        super().__init__(message)
        self.details = details or {}
        self.kind = kind


def parse(text: str) -> Message:
    """Return what a client's message asks; raise Misunderstood, which names the field."""
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Misunderstood("The message is not valid JSON.", kind="bad_request") from None
    if not isinstance(body, dict):
        raise Misunderstood("The message is not a JSON object.", kind="bad_request")
    kind = body.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _wrong("type", f"Not one of: {', '.join(_READERS)}.")
    return reader(body)


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _wrong(field: str, why: str) -> Misunderstood:
    return Misunderstood("The message can't be understood.", {field: [why]})


def _topics(body: Mapping[str, Any]) -> tuple[str, ...]:
    found = body.get("events")
    if not isinstance(found, list) or not found or not all(topic in TOPICS for topic in found if _is_text(topic)):
        raise _wrong("events", f"Not a list of: {', '.join(TOPICS)}.")
    if not all(_is_text(topic) for topic in found):
        raise _wrong("events", f"Not a list of: {', '.join(TOPICS)}.")
    return tuple(dict.fromkeys(found))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _names(body: Mapping[str, Any], field: str, change: Callable[[str], str]) -> frozenset[str] | None:
    """Return a filter's names; an absent, null or empty one filters nothing."""
    found = body.get(field)
    if found is None or found == []:
        return None
    if not isinstance(found, list) or len(found) > MOST_NAMES:
        raise _wrong(field, f"Not a list of at most {MOST_NAMES} names.")
    if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in found):
        raise _wrong(field, f"Not names of 1 to {LONGEST_NAME} characters.")
    return frozenset(map(change, found))


def _subscribe(body: Mapping[str, Any]) -> Subscribe:
    last_id, epoch = body.get("last_event_id"), body.get("epoch")
    if last_id is not None and (type(last_id) is not int or not 0 <= last_id <= LARGEST_ID):
        raise _wrong("last_event_id", f"Not a whole number from 0 to {LARGEST_ID}.")
    if epoch is not None and not (isinstance(epoch, str) and len(epoch) <= LONGEST_NAME):
        raise _wrong("epoch", "Not a text.")
    repositories, branches = _names(body, "repositories", str.lower), _names(body, "branches", str)
    return Subscribe(_topics(body), repositories, branches, last_id, epoch)


def _auth(body: Mapping[str, Any]) -> Auth:
    key, ticket = body.get("key"), body.get("ticket")
    given = [value for value in (key, ticket) if value is not None]
    if len(given) != 1 or not isinstance(given[0], str) or len(given[0]) > LONGEST_NAME:
        raise _wrong("key", "Not one key or one ticket.")
    return Auth(key, ticket)


_READERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "subscribe": _subscribe,
    "unsubscribe": lambda body: Unsubscribe(_topics(body)),
    "ping": lambda body: Ping(),
    "auth": _auth,
}


def confirmed(topics: Iterable[str], last_event_id: int, epoch: str) -> str:
    """Return the answer to a subscription: from `last_event_id` on, nothing will be missing."""
    return _dump({
        "type": "subscription_confirmed", "events": list(topics), "last_event_id": last_event_id, "epoch": epoch,
    })  # fmt: skip


def resync(last_event_id: int, epoch: str, reason: str) -> str:
    """Return the word that events asked for are not held: read the state anew, it is true up to this id."""
    return _dump({"type": "resync", "last_event_id": last_event_id, "epoch": epoch, "reason": reason})


def pong() -> str:
    """Return the answer to a ping."""
    return '{"type":"pong"}'


def authenticated(name: str) -> str:
    """Return the answer to a key or ticket that is good."""
    return _dump({"type": "authenticated", "caller": name})


def error(message: str, kind: str, details: Mapping[str, object], now: float) -> str:
    """Return what the sender of a wrong message is told: the envelope of every error."""
    body = {"message": message, "type": kind, "details": details, "timestamp": format_time(round(now, 3))}
    return _dump({"type": "error", "error": body})


def update(row: Any) -> str:
    """Return an event of the log as a socket is told of it. `data` is JSON already, and goes out as it is."""
    head = {
        "type": UPDATES[row.topic],
        "id": row.id,
        "event": row.type,
        "repository": row.repository,
        "occurred_at": format_time(row.occurred_at),
        "historic": bool(row.historic),
        "timestamp": format_time(row.recorded_at),
    }
    return f'{_dump(head)[:-1]},"data":{row.data}}}'


def branches_of(data: str) -> frozenset[str] | None:
    """Return the branches that an event's data is about; None where it is about none in particular."""
    body = json.loads(data)
    if isinstance(body.get("branches"), list):
        return frozenset(map(str, body["branches"]))
    return frozenset([body["branch"]]) if isinstance(body.get("branch"), str) else None


def _dump(body: Mapping[str, object]) -> str:
    return json.dumps(body, separators=(",", ":"))
