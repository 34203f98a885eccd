"""A WebSocket client that shows every byte: for good manners and for bad ones."""

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from wsproto.frame_protocol import FrameProtocol, Opcode

HANDSHAKE = "GET /ws{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"  # noqa: E501


def masked(payload: bytes, opcode: int = Opcode.TEXT, fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame, wrong in the ways that are asked for."""
    first, flag, length = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0, len(payload)
    head = bytes((first, flag | (length if length < 126 else 126 if length < 65536 else 127)))
    head += b"" if length < 126 else length.to_bytes(2 if length < 65536 else 8, "big")
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[place & 3] for place, byte in enumerate(payload))


# Every client, so that a test need not close those that it is done with.
OPEN: list["Client"] = []


class Client:
    """One connection. `status` is that of the handshake; `code` the close code, once there was one."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None, query: str = "", window: int = 0) -> None:
        OPEN.append(self)
        self.sock = socket.socket()
        if window:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.sock.sendall(HANDSHAKE.format(host=f"127.0.0.1:{port}", query=query, more=more).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(4096)
            if not data:
                break
            head += data
        self.head, _, rest = head.partition(b"\r\n\r\n")
        self.status = int(self.head.split()[1]) if self.head else 0
        self.body = rest
        self.code: int | None = None
        self.ended = False
        self._frames = FrameProtocol(client=True, extensions=[])
        self._text: list[str] = []
        self._ready: list[Any] = []
        if self.status == 101:
            self._feed(rest)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.send(masked(json.dumps(message).encode()))

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def hear(self, seconds: float = 10.0, kind: str | None = None) -> Any:
        """Return the next message (of a type); None where none comes in time, or the connection ended."""
        until = time.monotonic() + seconds
        while True:
            while self._ready:
                found = self._ready.pop(0)
                if kind is None or found["type"] == kind:
                    return found
            left = until - time.monotonic()
            if left <= 0 or self.ended:
                return None
            self._receive(left)

    def wait_for_close(self, seconds: float = 10.0) -> int | None:
        """Return the close code; None where the connection just ended, or is still there."""
        until = time.monotonic() + seconds
        while not self.ended and self.code is None and time.monotonic() < until:
            self._receive(max(0.01, until - time.monotonic()))
        return self.code

    def _receive(self, seconds: float) -> None:
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        if data:
            self._feed(data)
        else:
            self.ended = True

    def _feed(self, data: bytes) -> None:
        self._frames.receive_bytes(data)
        for got in self._frames.received_frames():
            if got.opcode is Opcode.CLOSE:
                self.code = int(got.payload[0])  # type: ignore[arg-type]
            elif got.opcode is Opcode.PING:
                self.send(masked(bytes(got.payload), Opcode.PONG))  # type: ignore[arg-type]
            elif got.opcode is Opcode.TEXT:
                self._text.append(str(got.payload))
                if got.message_finished:
                    self._ready.append(json.loads("".join(self._text)))
                    self._text = []

    def close(self) -> None:
        """Go without a word."""
        self.sock.close()
