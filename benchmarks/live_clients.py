"""Thousands of WebSocket clients in one process: `python -m benchmarks.live_clients PORT COUNT`.

It connects and subscribes them all and says how many there are; then, for each line on its input, it waits until every
one has got a whole frame, and says how many did, whether all were the same bytes, and when the first and last came.
"""

import json
import os
import select
import socket
import sys
import time

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE_SECONDS = 20.0
PING, PONG = b"\x89\x00", b"\x8a\x80mask"


def masked(payload: bytes) -> bytes:
    """Return a short text frame as a client sends it."""
    key = os.urandom(4)
    return bytes((0x81, 0x80 | len(payload))) + key + bytes(byte ^ key[at & 3] for at, byte in enumerate(payload))


def connect(port: int) -> socket.socket:
    """Return a subscribed client."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(HANDSHAKE)
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1024)
    sock.sendall(masked(b'{"type":"subscribe","events":["builds"]}'))
    text = head.partition(b"\r\n\r\n")[2]
    while not text.endswith(b"}"):
        text += sock.recv(1024)
    sock.setblocking(False)
    return sock


def whole(data: bytes) -> bool:
    """Whether the bytes are a whole frame (pings are taken out before)."""
    if len(data) < 4 or data[1] < 126:
        return len(data) >= 2 and data[1] < 126 and len(data) >= 2 + data[1] > 2
    return len(data) >= 4 + int.from_bytes(data[2:4], "big")


def receive(clients: dict[int, socket.socket]) -> dict[str, object]:
    """Wait for a frame at each client."""
    poll = select.epoll()
    for descriptor in clients:
        poll.register(descriptor, select.EPOLLIN)
    got: dict[int, bytes] = dict.fromkeys(clients, b"")
    moments: list[float] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(moments) < len(clients) and time.monotonic() < until:
        for descriptor, _ in poll.poll(0.5):
            data = clients[descriptor].recv(65536)
            if PING in data:  # they come in between, and who does not answer is let go
                clients[descriptor].send(PONG)
            got[descriptor] += data.replace(PING, b"")
            if not data or whole(got[descriptor]):
                moments.append(time.monotonic())
                poll.unregister(descriptor)
    frames = set(got.values())
    poll.close()
    return {"count": len(moments), "exact": len(frames) == 1, "moments": [moments[0], moments[-1]] if moments else []}


def main(port: int, count: int) -> None:
    """Serve the one who measures."""
    clients: dict[int, socket.socket] = {}
    for _ in range(count):
        sock = connect(port)
        clients[sock.fileno()] = sock
    print(len(clients), flush=True)
    for _ in sys.stdin:
        print(json.dumps(receive(clients)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
