"""One client's socket after the handshake: it owns every outgoing byte, and never waits for a client.

All of it runs in the hub's own callbacks, where nothing may block: whoever is called from here must not either.

The descriptor is taken out of gunicorn's hands, so that an idle client costs a watcher and no greenlet. What a client
does not take at once is kept, up to a cap; over the cap the client is told to come back and resume.
"""

import _socket
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

BACKLOG_BYTES = 256 * 1024
MESSAGE_BYTES = 64 * 1024
# Frames of any kind that one client may send: messages have a limit of their own.
FRAMES_PER_SECOND = 300
READ_BYTES = 16 * 1024
# What is still to be sent when a connection closes gets this long.
FAREWELL_SECONDS = 2.0
READ, WRITE = 1, 2

RESTART, BUSY, SLOW, NO_KEY = 1012, 1013, 4408, 4401
NORMAL, PROTOCOL_ERROR, NOT_TEXT, POLICY, TOO_BIG = 1000, 1002, 1003, 1008, 1009


def frame(payload: bytes, opcode: int = Opcode.TEXT) -> bytes:
    """Return one unmasked, whole WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, length)
    return head + payload


def farewell(code: int, reason: str) -> bytes:
    """Return the close frame with this code."""
    return frame(struct.pack("!H", code) + reason.encode()[:123], Opcode.CLOSE)


PING = frame(b"", Opcode.PING)


class Connection:
    """A shaken-hands WebSocket on a descriptor of its own. `on_text` gets whole messages, `on_end` the close code."""

    __slots__ = (
        "_backlog", "_closing", "_frames", "_on_end", "_on_text", "_proto", "_reader", "_second", "_size", "_sock",
        "_text", "_text_size", "_writer", "blocked_since", "code", "drained", "heard", "until",
    )  # fmt: skip

    def __init__(self, fileno: int, on_text: Callable[[str], None], on_end: Callable[[int], None]) -> None:
        # Not gevent's: that one would wait, and costs more.
        self._sock = _socket.socket(fileno=os.dup(fileno))
        self._sock.setblocking(False)
        self._on_text, self._on_end = on_text, on_end
        self._proto: FrameProtocol | None = None
        self._text: list[str] = []
        self._text_size = self._frames = self._second = 0
        self._backlog: deque[bytes] | None = None
        self._size = 0
        self._writer: Any = None
        self._closing = False
        self.code = 1006  # until one of both sides says another
        self.heard = True  # since the last ping
        self.until = 0.0
        self.blocked_since: float | None = None
        self.drained: Callable[[], None] | None = None
        self._reader: Any = get_hub().loop.io(self._sock.fileno(), READ)
        self._reader.start(self._read)

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return not self._closing

    @property
    def backlog_bytes(self) -> int:
        """Return how much waits for the client."""
        return self._size

    def send_text(self, text: str) -> None:
        """Send a message of this client's own."""
        self.send(frame(text.encode()))

    def send(self, data: bytes) -> None:
        """Send a whole frame; it may be shared with other clients. What does not fit goes behind, in order."""
        if self._closing:
            return
        if self._size + len(data) > BACKLOG_BYTES:
            self.close(SLOW, "too slow: reconnect and resume")
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        if not self._backlog:
            sent = self._try(data)
            if sent == len(data):
                return
            data = data[sent:]
            if self._reader is None:
                return
            self._backlog = self._backlog or deque()
            self.blocked_since = time.monotonic()
            self._writer = self._writer or get_hub().loop.io(self._sock.fileno(), WRITE)
            self._writer.start(self._write)
        self._backlog.append(data)
        self._size += len(data)

    def _try(self, data: bytes) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.end()
            return len(data)

    def _write(self) -> None:
        """Send what waits, as far as the client takes it."""
        while self._backlog:
            data = self._backlog[0]
            sent = self._try(data)
            if self._reader is None:
                return
            self._size -= sent
            if sent:
                self.blocked_since = time.monotonic()
            if sent < len(data):
                self._backlog[0] = data[sent:]
                return
            self._backlog.popleft()
        self._writer.stop()
        self._backlog, self.blocked_since = None, None
        if self._closing:
            self._half_close()
        elif self.drained is not None:
            self.drained()

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        self.heard = True
        if self._closing:
            # Only the other side's close frame matters now, and its end of file says the same.
            return
        self._proto = self._proto or FrameProtocol(client=False, extensions=[])
        try:
            self._proto.receive_bytes(data)
            for got in self._proto.received_frames():
                if self._is_flooded():
                    self.close(POLICY, "too many frames")
                    return
                self._take(got.opcode, got.payload, got.message_finished)
                if self._closing:
                    return
        except ParseFailed as failed:
            self.close(int(failed.code), "not a WebSocket frame that is allowed")

    def _is_flooded(self) -> bool:
        """Count a frame; whether there were more in this second than anybody has a use for."""
        second = int(time.monotonic())
        self._frames = self._frames + 1 if second == self._second else 1
        self._second = second
        return self._frames > FRAMES_PER_SECOND

    def _take(self, opcode: Opcode, payload: bytes | str | tuple[int, str], finished: bool) -> None:
        if opcode is Opcode.TEXT:
            if payload:
                self._text.append(str(payload))
            self._text_size += len(payload)
            if self._text_size > MESSAGE_BYTES:
                self.close(TOO_BIG, f"larger than {MESSAGE_BYTES} bytes")
            elif finished:
                text, self._text, self._text_size = "".join(self._text), [], 0
                self._on_text(text)
        elif opcode is Opcode.PING:
            self.send(frame(bytes(payload), Opcode.PONG))  # type: ignore[arg-type]
        elif opcode is Opcode.CLOSE:
            code = payload[0] if isinstance(payload, tuple) else NORMAL
            self.close(int(code) if code in range(1000, 5000) and code != 1005 else NORMAL, "")
        elif opcode is Opcode.BINARY:
            self.close(NOT_TEXT, "messages are text")

    def close(self, code: int, reason: str) -> None:
        """Say goodbye with a code; what waits behind a half-sent frame is dropped, since the log has it."""
        if self._closing:
            return
        self._closing, self.code = True, code
        self.until = time.monotonic() + FAREWELL_SECONDS
        if self._backlog:
            half_sent = self._backlog[0]
            self._backlog, self._size = deque([half_sent]), len(half_sent)
        self._put(farewell(code, reason))
        if self._reader is not None and not self._backlog:
            self._half_close()

    def _half_close(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            self.end()

    def end(self) -> None:
        """Give the descriptor back; `on_end` is told once."""
        if self._reader is None:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
        self._closing, self._backlog, self._size = True, None, 0
        self._sock.close()
        self._on_end(self.code)
