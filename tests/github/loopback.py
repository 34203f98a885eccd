"""A loopback server below HTTP: each answer is the bytes, and the pauses, that a test says."""

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

Piece = bytes | float  # a float: a pause in seconds


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]


def http(status: int, body: bytes = b"{}", **headers: str) -> list[Piece]:
    """Return a whole answer; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ["\r\n".join([*lines, "", ""]).encode() + body]


class Loopback:
    """Answers call after call by its script (the last entry for all that follow), one connection each."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Iterable[Piece] | Callable[[Asked], Iterable[Piece]]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stopping.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            raw = b""
            while b"\r\n\r\n" not in raw:
                piece = connection.recv(65536)
                if not piece:
                    return
                raw += piece
            first, *lines = raw.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            asked = Asked(first.split(" ")[1], {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)})
            self.asked.append(asked)
            entry = self.script[min(len(self.asked), len(self.script)) - 1]
            try:
                for piece in entry(asked) if callable(entry) else entry:
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    elif self._stopping.wait(piece):
                        return
            except OSError:
                return
