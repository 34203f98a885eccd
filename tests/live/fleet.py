"""Thousands of WebSocket clients in one thread, each of which checks every frame that it gets."""

import json
import os
import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


def masked(first: int, payload: bytes = b"") -> bytes:
    """Return a client's frame of up to 125 bytes."""
    key = os.urandom(4)
    return bytes((first, 0x80 | len(payload))) + key + bytes(byte ^ key[at & 3] for at, byte in enumerate(payload))


@dataclass(slots=True)
class One:
    """One client. `last_id` is what it has got so far; it lives over its connections."""

    sock: socket.socket | None = None
    buffer: bytearray = field(default_factory=bytearray)
    upgraded: bool = False
    confirmed: bool = False
    last_id: int | None = None
    again_at: float = 0.0


@dataclass
class Fleet:
    """The clients of one server. `window` is their receive buffer; `piece` what they read at once; 0: the usual."""

    port: int
    count: int
    window: int = 0
    piece: int = 65_536
    pings: float = 0.0  # the chance of a ping after a read
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    events: int = 0
    gaps: int = 0
    doubles: int = 0
    corrupt: int = 0
    confirmations: int = 0
    resyncs: int = 0
    codes: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._poll = select.epoll()
        self.clients = [One() for _ in range(self.count)]
        self._by_descriptor: dict[int, One] = {}
        self._waiting = list(self.clients)
        self._read: dict[bytes, tuple[str, int | None]] = {}

    @property
    def connected(self) -> int:
        """How many are subscribed."""
        return sum(one.confirmed for one in self.clients)

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Live until the condition holds (True) or the time is over."""
        end, look_at = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            now = time.monotonic()
            self._connect(now)
            for descriptor, _ in self._poll.poll(0.02):
                one = self._by_descriptor.get(descriptor)
                if one is not None:
                    self._receive(one)
            if now >= look_at:
                look_at = now + 0.05
                if until():
                    return True
        return until()

    def close(self) -> None:
        """Leave."""
        for one in self.clients:
            if one.sock is not None:
                one.sock.close()
        self._poll.close()

    def _connect(self, now: float) -> None:
        """Connect those whose time has come, some at a time."""
        ready = [one for one in self._waiting[:200] if one.again_at <= now]
        for one in ready:
            self._waiting.remove(one)
            sock = socket.socket()
            if self.window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
            sock.settimeout(5)
            try:
                sock.connect(("127.0.0.1", self.port))
                sock.sendall(HANDSHAKE)
            except OSError:
                sock.close()
                self._later(one)
                continue
            sock.setblocking(False)
            one.sock, one.upgraded, one.confirmed, one.buffer = sock, False, False, bytearray()
            self._by_descriptor[sock.fileno()] = one
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def _later(self, one: One) -> None:
        one.again_at = time.monotonic() + self.rng.uniform(0.2, 2.0)
        self._waiting.append(one)

    def _gone(self, one: One) -> None:
        if one.sock is not None:
            self._by_descriptor.pop(one.sock.fileno(), None)
            self._poll.unregister(one.sock.fileno())
            one.sock.close()
        one.sock, one.confirmed = None, False
        self._later(one)

    def _receive(self, one: One) -> None:
        assert one.sock is not None
        try:
            data = one.sock.recv(self.piece)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone(one)
            return
        one.buffer += data
        if not one.upgraded:
            head, found, rest = bytes(one.buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._gone(one)
                return
            one.upgraded, one.buffer = True, bytearray(rest)
            asked: dict[str, object] = {"type": "subscribe", "events": ["builds"]}
            if one.last_id is not None:
                asked["last_event_id"] = one.last_id
            self._send(one, masked(0x81, json.dumps(asked).encode()))
        self._frames(one)
        if self.pings and one.sock is not None and self.rng.random() < self.pings:
            self._send(one, masked(PING, b"are you there"))

    def _send(self, one: One, data: bytes) -> None:
        assert one.sock is not None
        try:
            one.sock.send(data)
        except OSError:
            self._gone(one)

    def _frames(self, one: One) -> None:
        """Take the whole frames out of the buffer; the first byte of each must be one that a server sends."""
        while one.sock is not None and len(one.buffer) >= 2:
            first, length, start = one.buffer[0], one.buffer[1], 2
            if first not in (TEXT, CLOSE, PING, PONG) or length > 126:
                self.corrupt += 1
                self._gone(one)
                return
            if length == 126:
                if len(one.buffer) < 4:
                    return
                length, start = int.from_bytes(one.buffer[2:4], "big"), 4
            if len(one.buffer) < start + length:
                return
            payload = bytes(one.buffer[start : start + length])
            del one.buffer[: start + length]
            self._take(one, first, payload)

    def _take(self, one: One, first: int, payload: bytes) -> None:
        if first == PING:
            self._send(one, masked(PONG, payload))
        elif first == PONG:
            self.corrupt += payload != b"are you there"
        elif first == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            self.codes[code] = self.codes.get(code, 0) + 1
            self._gone(one)
        else:
            self._message(one, payload)

    def _message(self, one: One, payload: bytes) -> None:
        found = self._read.get(payload)
        if found is None:
            try:
                message = json.loads(payload)
                found = (message["type"], message.get("id", message.get("last_event_id")))
            except (ValueError, KeyError, TypeError):
                self.corrupt += 1
                return
            if len(self._read) > 5000:
                self._read.clear()
            self._read[payload] = found
        kind, number = found
        if kind == "subscription_confirmed":
            one.confirmed = True
            self.confirmations += 1
            if one.last_id is None:
                one.last_id = number
        elif kind == "resync":
            self.resyncs += 1
        elif kind == "build_update" and number is not None and one.last_id is not None:
            self.events += 1
            self.gaps += number > one.last_id + 1
            self.doubles += number <= one.last_id
            one.last_id = max(one.last_id, number)
