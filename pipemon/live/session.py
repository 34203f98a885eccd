"""One client's conversation: what it says, and what follows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from pipemon import telemetry
from pipemon.live import protocol, socket
from pipemon.live.feed import Feed
from pipemon.live.hub import Client, Hub
from pipemon.live.protocol import Auth, Misunderstood, Ping, Subscribe, Unsubscribe
from pipemon.live.socket import Connection
from pipemon.store.engine import DatabaseError

log = telemetry.logger(__name__)

# Who has shown no key after this long is let go.
AUTH_SECONDS = 5.0
# Commands: so many at once, and so many a second.
BURST, RATE = 20, 5.0

# Returns the caller's name for a key or a ticket that may read, None for any other.
Authenticate = Callable[[Auth], str | None]


@dataclass(frozen=True, slots=True)
class Live:
    """What every conversation needs. `clock` is GitHub's time, `watched` the watched repositories' names."""

    hub: Hub
    feed: Feed
    authenticate: Authenticate
    watched: Callable[[], frozenset[str]]
    clock: Callable[[], float]


class Session:
    """Answers one client. `name` None: it has to say who it is before anything else."""

    __slots__ = ("_began", "_client", "_connection", "_given_at", "_inbox", "_live", "_name", "_tokens", "_what")

    def __init__(self, live: Live, fileno: int, name: str | None, what: dict[str, object]) -> None:
        self._live, self._name, self._what = live, name, what
        self._began = self._given_at = time.monotonic()
        self._tokens = float(BURST)
        self._inbox: list[str] = []
        self._connection = Connection(fileno, self._hear, self._ended)
        self._client: Client = live.hub.add(self._connection, name or "")
        if name is None:
            gevent.spawn_later(AUTH_SECONDS, self._still_unknown)

    def _still_unknown(self) -> None:
        if self._name is None:
            self._connection.close(socket.NO_KEY, "no valid key")

    def _ended(self, code: int) -> None:
        self._live.hub.remove(self._client)
        gevent.spawn(self._tell_end, code)

    def _tell_end(self, code: int) -> None:
        seconds = round(time.monotonic() - self._began, 1)
        log.info("socket closed", code=code, seconds=seconds, caller=self._name, **self._what)

    def _hear(self, text: str) -> None:
        """Take a message. Answering may wait for the database, which a socket's callback must not: it is done apart."""
        if not self._may_speak():
            self._error("Too many messages.", "rate_limited", {})
            self._connection.close(socket.POLICY, "too many messages")
            return
        self._inbox.append(text)
        if len(self._inbox) == 1:
            gevent.spawn(self._work)

    def _work(self) -> None:
        """Answer what was said, in order."""
        while self._inbox and self._connection.is_open:
            self._respond(self._inbox[0])
            del self._inbox[0]

    def _respond(self, text: str) -> None:
        """Answer one message; one that makes no sense changes nothing, and the connection stays."""
        try:
            self._answer(protocol.parse(text))
        except Misunderstood as wrong:
            self._error(str(wrong), wrong.kind, wrong.details)
        except DatabaseError:
            self._error("The database can't be used now; try again.", "unavailable", {})
        except Exception:
            log.exception("a message was not answered")
            self._error("Something went wrong here.", "internal_error", {})

    def _may_speak(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._given_at) * RATE)
        self._given_at = now
        self._tokens -= 1
        return self._tokens >= 0

    def _answer(self, message: protocol.Message) -> None:
        if isinstance(message, Ping):
            self._connection.send_text(protocol.pong())
        elif isinstance(message, Auth):
            self._authenticate(message)
        elif self._name is None:
            raise Misunderstood("A key is needed.", kind="unauthorized")
        elif isinstance(message, Subscribe):
            self._subscribe(message)
        elif isinstance(message, Unsubscribe):
            self._client.topics = tuple(topic for topic in self._client.topics if topic not in message.topics)
            self._confirm()

    def _authenticate(self, message: Auth) -> None:
        name = self._live.authenticate(message)
        if name is None:
            self._error("This key is not known, or may not read.", "unauthorized", {})
            self._connection.close(socket.NO_KEY, "no valid key")
            return
        self._name = self._client.name = name
        self._connection.send_text(protocol.authenticated(name))

    def _subscribe(self, asked: Subscribe) -> None:
        position = self._live.feed.position
        if position is None:
            raise Misunderstood("The event log can't be read now; try again.", kind="unavailable")
        unknown = sorted((asked.repositories or frozenset()) - self._live.watched())
        if unknown:
            names = ", ".join(unknown[:5])
            raise Misunderstood("A repository is not watched.", {"repositories": [f"Not watched: {names}."]})
        client, first = self._client, not self._client.topics and not self._client.live
        if not first and asked.last_event_id is not None:
            why = "Only the first subscription of a connection resumes."
            raise Misunderstood("The message can't be understood.", {"last_event_id": [why]})
        client.topics = tuple(dict.fromkeys((*client.topics, *asked.topics)))
        if first or asked.repositories is not None:
            client.repositories = asked.repositories
        if first or asked.branches is not None:
            client.branches = asked.branches
        if first:
            self._begin(asked)
        else:
            self._confirm()

    def _begin(self, asked: Subscribe) -> None:
        """Let a first subscription begin at the log's end, or where the client says that it was."""
        position = self._live.feed.position
        assert position is not None
        self._client.cursor = position.last_id
        reason = None if asked.last_event_id is None else self._why_not(asked)
        if asked.last_event_id is not None and reason is None:
            self._client.cursor = asked.last_event_id
        self._confirm()
        if reason is not None:
            telemetry.count("live_resyncs_total", reason=reason.split(":")[0])
            self._connection.send_text(protocol.resync(position.last_id, position.epoch, reason))
        if self._client.cursor == position.last_id:
            self._client.live = True
        else:
            gevent.spawn(self._live.feed.catch_up, self._client)

    def _why_not(self, asked: Subscribe) -> str | None:
        """Return why the log can't give what follows the client's last event; None where it can."""
        position = self._live.feed.position
        assert position is not None
        if asked.epoch is not None and asked.epoch != position.epoch:
            return "epoch: the log was restored or lost its tail"
        if (asked.last_event_id or 0) > position.last_id:
            return "ahead: the log has not come that far"
        return None

    def _confirm(self) -> None:
        position = self._live.feed.position
        epoch = "" if position is None else position.epoch
        self._connection.send_text(protocol.confirmed(self._client.topics, self._client.cursor, epoch))

    def _error(self, message: str, kind: str, details: object) -> None:
        self._connection.send_text(protocol.error(message, kind, dict(details), self._live.clock()))  # type: ignore[call-overload]
