"""The live room in this process, on a real database and real sockets; time for others is given while a test waits."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from pipemon.domain.events import Event
from pipemon.live.feed import Feed
from pipemon.live.hub import Hub
from pipemon.live.protocol import Auth
from pipemon.live.session import Live, Session
from pipemon.store import events
from pipemon.store.engine import Database
from tests.builders import T0

PATIENCE_SECONDS = 5.0


@dataclass
class Peer:
    """The other end of a session's socket. It takes what comes only when it is told to."""

    sock: socket.socket
    frames: FrameProtocol = field(default_factory=lambda: FrameProtocol(client=True, extensions=[]))
    heard: list[Any] = field(default_factory=list)
    code: int | None = None
    ended: bool = False
    text: str = ""
    pings: int = 0

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        gevent.sleep(0.01)

    def take(self, most: int = 1 << 20) -> None:
        """Take what is there."""
        gevent.sleep(0.005)
        while most > 0:
            try:
                data = self.sock.recv(min(most, 65536))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            most -= len(data)
            if not data:
                self.ended = True
                return
            self.frames.receive_bytes(data)
            for got in self.frames.received_frames():
                self._take(got)

    def _take(self, got: Any) -> None:
        if got.opcode is Opcode.CLOSE:
            self.code = got.payload[0]
        elif got.opcode is Opcode.PING:
            self.pings += 1
        elif got.opcode is Opcode.TEXT:
            self.text += got.payload
            if got.message_finished:
                self.heard.append(self.text)
                self.text = ""

    def until(self, condition: Callable[[], Any]) -> None:
        """Take until the condition holds."""
        for _ in range(round(PATIENCE_SECONDS / 0.005)):
            self.take()
            if condition():
                return
        raise AssertionError((self.heard[-3:], self.code, self.ended))


@dataclass
class World:
    """A hub and its feed on a database, and sessions on socket pairs."""

    db: Database
    most: int = 100
    names: dict[str, str] = field(default_factory=lambda: {"good-key": "dash"})

    peers: list[Peer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = Hub(self.most)
        self.feed = Feed(self.db, self.hub, lambda: None)
        self.feed.look()
        self.live = Live(self.hub, self.feed, self._who, lambda: frozenset({"acme/shop-1", "acme/shop-2"}), lambda: T0)

    def _who(self, shown: Auth) -> str | None:
        return self.names.get(shown.key or "")

    def connect(self, name: str | None = "anonymous", small: bool = False) -> Peer:
        """Open a session; `small`: its socket takes little, so that it soon blocks."""
        ours, theirs = socket.socketpair()
        if small:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.setblocking(False)
        Session(self.live, ours.fileno(), name, {})
        ours.close()
        self.peers.append(Peer(theirs))
        return self.peers[-1]

    def end(self) -> None:
        """Close everything."""
        self.hub.closing = True
        for client in list(self.hub._clients):
            client.connection.end()
        for peer in self.peers:
            peer.sock.close()

    def append(self, *types: str, repository: str = "acme/shop-1", topic: str = "builds", historic: bool = False,
               size: int = 0, branch: str | None = "main") -> None:  # fmt: skip
        """Append events to the log."""
        with self.db.read() as conn:
            after = events.position(conn).last_id
        news = [
            Event(kind, topic, repository, f"{after + n}", T0, 5, 1, historic, {"branch": branch, "pad": "x" * size})
            for n, kind in enumerate(types)
        ]

        def work(conn: Any) -> None:
            events.lock(conn)
            events.append(conn, news, T0 + 0.5)

        self.db.transact(work)


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    made = World(Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'live.sqlite3')}"))
    yield made
    made.end()
    made.db.close()
