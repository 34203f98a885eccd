"""The description of the WebSocket: AsyncAPI 3.0, made of the words that the code itself uses."""

import json
from typing import Any
from urllib.parse import urlsplit

from config import Settings
from pipemon import VERSION
from pipemon.api.auth import reads_are_open
from pipemon.api.schemas import messages
from pipemon.api.schemas.messages import Message
from pipemon.live import socket

ASYNCAPI_VERSION = "3.0.0"
# `live` is the channel's name in the document.
CHANNEL = "#/channels/live"

DESCRIPTION = """The event log as it happens. Ids rise; a client that comes back with its `last_event_id` and `epoch`
gets each event that it missed once, in order, then what happens. Times are RFC 3339 in UTC. Fields may be added. A
topic that no message here speaks of can be subscribed to, and has no events yet."""

CLOSE_CODES = {
    socket.NORMAL: "goodbye",
    socket.PROTOCOL_ERROR: "not a WebSocket frame that is allowed",
    socket.NOT_TEXT: "messages are text",
    1007: "not UTF-8",
    socket.POLICY: "too many messages",
    socket.TOO_BIG: f"a message is larger than {socket.MESSAGE_BYTES} bytes",
    socket.RESTART: "restart: reconnect at once and resume",
    socket.BUSY: "too many clients: reconnect later",
    socket.NO_KEY: "no valid key or ticket: do not reconnect without another",
    socket.SLOW: "too slow: reconnect and resume",
}
SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "httpApiKey", "in": "header", "name": "X-API-Key"},
}


def document(settings: Settings) -> bytes:
    """Return the document as JSON."""
    said, answers, updates = messages.incoming(), messages.answers(), messages.updates()
    everything = [*said, *answers, *updates]
    names = [message.name for message in everything]
    info = {"title": "pipemon live", "version": VERSION, "description": DESCRIPTION}
    channel = {
        "address": "/ws",
        "description": "A key may also come in the first message: `auth`.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"ws": {"method": "GET"}},
        "x-close-codes": {str(code): meaning for code, meaning in CLOSE_CODES.items()},
    }
    components = {
        "messages": {message.name: _message(message) for message in everything},
        "schemas": dict(messages.DATA.values()),
        "securitySchemes": SCHEMES,
    }
    return json.dumps({
        "asyncapi": ASYNCAPI_VERSION,
        "info": info,
        "defaultContentType": "application/json",
        "servers": {"pipemon": _server(settings)},
        "channels": {"live": channel},
        "operations": _operations([message.name for message in updates]),
        "components": components,
    }).encode()  # fmt: skip


def _server(settings: Settings) -> dict[str, Any]:
    address = urlsplit(settings.public_url or f"http://127.0.0.1:{settings.port}")
    found: dict[str, Any] = {"host": address.netloc, "protocol": "wss" if address.scheme == "https" else "ws"}
    if address.path.strip("/"):
        found["pathname"] = address.path.rstrip("/")
    if not reads_are_open(settings):
        found["security"] = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SCHEMES]
    return found


def _message(message: Message) -> dict[str, Any]:
    return {
        "name": message.name,
        "summary": message.summary,
        "payload": message.payload,
        "examples": [{"payload": example} for example in message.examples],
    }


def _operations(updates: list[str]) -> dict[str, Any]:
    """Return who says what, as the server sees it."""
    return {
        "authenticate": _receive("Say who you are", ["auth"], ["authenticated", "error"]),
        "subscribe": _receive("Subscribe, or resume", ["subscribe"], ["subscription_confirmed", "resync", "error"]),
        "unsubscribe": _receive("Subscribe to less", ["unsubscribe"], ["subscription_confirmed", "error"]),
        "ping": _receive("Ask for a sign of life", ["ping"], ["pong", "error"]),
        "tell": {"action": "send", "summary": "What happens", **_through([*updates, "resync"])},
    }


def _receive(summary: str, said: list[str], answered: list[str]) -> dict[str, Any]:
    return {"action": "receive", "summary": summary, **_through(said), "reply": _through(answered)}


def _through(names: list[str]) -> dict[str, Any]:
    return {"channel": {"$ref": CHANNEL}, "messages": [{"$ref": f"{CHANNEL}/messages/{name}"} for name in names]}
