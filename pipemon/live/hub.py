"""Who is connected to this process and wants what. A frame is built once, and its bytes are sent to all who want it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent

from pipemon import telemetry
from pipemon.live import protocol, socket
from pipemon.live.socket import Connection
from pipemon.store.events import Position

log = telemetry.logger(__name__)

PING_SECONDS = 25
# A client that does not take anything for this long is cut off; the log has what it missed.
STUCK_SECONDS = 30.0
# A client with more than this in front of it is no longer told live.
LAGGING_BYTES = 64 * 1024
# Requests go on while ten thousand clients are told: after a turn of this length it is the others'. A pause of zero
# would let only those go on that are ready, and no timer.
TURN_SECONDS, PAUSE_SECONDS = 0.005, 0.0002
LOOK_EVERY = 64
# Clients that are told goodbye between two pauses.
YIELD_EVERY = 256


@dataclass(frozen=True, slots=True)
class Update:
    """One event of the log, ready to be sent. `branches` None: it is about none in particular."""

    id: int
    topic: str
    repository: str
    branches: frozenset[str] | None
    historic: bool
    frame: bytes


@dataclass(slots=True, eq=False)
class Client:
    """One subscriber. It has been told everything it wants up to event `cursor`; `live`: it is told what comes, too.

    `resumes`: what it gets from the log includes history, which is never told live.
    """

    connection: Connection
    name: str
    slot: int
    topics: tuple[str, ...] = ()
    repositories: frozenset[str] | None = None
    branches: frozenset[str] | None = None
    cursor: int = 0
    live: bool = False
    resumes: bool = True

    def wants(self, update: Update) -> bool:
        """Whether the update passes the subscription's filters."""
        return (
            update.topic in self.topics
            and (self.repositories is None or update.repository in self.repositories)
            and (self.branches is None or update.branches is None or not self.branches.isdisjoint(update.branches))
        )


class Hub:
    """The clients of one process. `most` is how many there may be."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.closing = False
        self.lagging: Callable[[Client], object] = lambda client: None
        self._clients: dict[Client, None] = {}
        self._slots: list[dict[Client, None]] = [{} for _ in range(PING_SECONDS)]
        self._turn = 0

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def is_full(self) -> bool:
        """Whether no further client can be taken."""
        return len(self._clients) >= self.most

    def add(self, connection: Connection, name: str) -> Client:
        """Take a client in."""
        slot = min(range(PING_SECONDS), key=lambda place: len(self._slots[place]))
        client = Client(connection, name, slot)
        self._clients[client] = self._slots[slot][client] = None
        telemetry.gauge("live_clients", len(self._clients))
        return client

    def remove(self, client: Client) -> None:
        """Let a client go."""
        self._clients.pop(client, None)
        self._slots[client.slot].pop(client, None)
        client.live = False
        telemetry.gauge("live_clients", len(self._clients))

    def publish(self, updates: Sequence[Update]) -> None:
        """Send updates to everybody live who wants them; history is sent to those who resume alone."""
        done = told = 0
        since = time.monotonic()
        for update in updates:
            for client in list(self._clients):
                told += self._tell(client, update)
                done += 1
                if done % LOOK_EVERY == 0 and time.monotonic() - since > TURN_SECONDS:
                    gevent.sleep(PAUSE_SECONDS)
                    since = time.monotonic()
        telemetry.count("live_frames_total", told)

    def _tell(self, client: Client, update: Update) -> bool:
        """Send one update to one client; who has not taken what came before gets it from the log, at its own pace."""
        if not client.live or client.cursor >= update.id:
            return False
        if client.connection.backlog_bytes > LAGGING_BYTES:
            client.live = False
            self.lagging(client)
            return False
        client.cursor = update.id
        if update.historic or not client.wants(update):
            return False
        client.connection.send(update.frame)
        return True

    def resync(self, position: Position) -> None:
        """Tell everybody that follows the log that it is another one now."""
        text = socket.frame(protocol.resync(position.last_id, position.epoch, "epoch: the log is another one").encode())
        for client in list(self._clients):
            client.cursor, client.live = position.last_id, client.live or bool(client.topics)
            if client.topics:
                client.connection.send(text)

    def beat(self) -> None:
        """Ping the clients whose second this is, and let go of those that gave no sign; call it once a second."""
        self._turn = (self._turn + 1) % PING_SECONDS
        now = time.monotonic()
        for client in list(self._slots[self._turn]):
            connection = client.connection
            if connection.blocked_since is not None:
                continue  # a ping would wait behind what it does not take
            if not connection.heard:
                connection.end()
            connection.heard = False
            connection.send(socket.PING)
        for client in list(self._clients):
            _check(client.connection, now)

    def close_all(self, code: int, reason: str, seconds: float = 1.0) -> None:
        """Say goodbye to everybody, and give them a moment to take it."""
        self.closing = True
        for place, client in enumerate(list(self._clients), 1):
            client.connection.close(code, reason)
            if place % YIELD_EVERY == 0:
                gevent.sleep(0)
        until = time.monotonic() + seconds
        while self._clients and time.monotonic() < until:
            gevent.sleep(0.02)


def _check(connection: Connection, now: float) -> None:
    """Cut off who takes nothing, and who was told goodbye and stays."""
    if not connection.is_open and now > connection.until:
        connection.end()
    elif connection.blocked_since is not None and now - connection.blocked_since > STUCK_SECONDS:
        connection.close(socket.SLOW, "nothing was taken for too long")


def run(hub: Hub, beats: Callable[[float], None] = gevent.sleep) -> None:
    """Keep the hub's pulse; for a greenlet of its own."""
    while not hub.closing:
        beats(1.0)
        try:
            hub.beat()
        except Exception:
            log.exception("a beat of the hub failed")
