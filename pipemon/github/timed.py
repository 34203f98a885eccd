"""Connections whose answers end: in time and in bytes, from the first header's first byte to the body's last.

A read timeout alone bounds nothing: one byte a second resets it for ever, in a header, a chunk or a zipped body alike.
"""

import http.client
import io
import socket
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how much: seconds for a connection, for one read, for a whole answer; bytes of a body, unzipped."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    total_seconds: float = 30.0
    largest_body: int = 16 * 1024 * 1024


class TooLarge(Exception):
    """The answer is larger than anything GitHub sends."""


class _TimedFile(io.RawIOBase):
    """Reads a socket's bytes until the deadline, and no more than the cap."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._patience = patience
        self._deadline = time.monotonic() + patience.total_seconds
        self._left = patience.largest_body + 1024 * 1024

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"the answer took longer than {self._patience.total_seconds:g} s")
        self._sock.settimeout(min(self._patience.read_seconds, seconds))
        size = self._file.readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise TooLarge("the answer is too large")
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    """Gives http.client, which asks a socket for nothing but a file, the timed one."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock = sock
        self._patience = patience

    def makefile(self, _mode: str) -> BinaryIO:
        return io.BufferedReader(_TimedFile(self._sock, self._patience))


def timed_pools(patience: Patience) -> dict[str, type[HTTPConnectionPool]]:
    """Return connection pools, by scheme, for urllib3's managers."""

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(_TimedSocket(sock, patience), *args, **kwargs)  # type: ignore[arg-type]

    class Plain(HTTPConnection):
        response_class = Response

    class Tls(HTTPSConnection):
        response_class = Response

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
