"""What GitHub, or whoever stands in its place, can do to a connection."""

import gzip
import json
import resource
import socket
import ssl
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from pipemon.github.errors import BadAnswer, GitHubError, ServerError, Unreachable
from pipemon.github.timed import Patience
from tests.github.conftest import QUICK, TOKEN, Make, counted
from tests.github.loopback import Loopback, Piece, http

EMPTY = json.dumps({"total_count": 0, "workflow_runs": []}).encode()
SHORT = Patience(connect_seconds=0.5, read_seconds=0.5, total_seconds=1.0, largest_body=1024 * 1024)


def drip(data: bytes, seconds: float = 0.05) -> list[Piece]:
    """Return the bytes one by one, with pauses that no read timeout minds."""
    return [piece for byte in data for piece in (bytes([byte]), seconds)]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW: dict[str, list[Piece]] = {
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *drip(b" " * 1000)],
    "chunks of a byte": [CHUNKED, *[p for _ in range(1000) for p in (b"1\r\n \r\n", 0.05)]],
    "one long chunk": [CHUNKED, b"1000\r\n", *drip(b" " * 1000)],
    "chunk header": [CHUNKED, *drip(b"0" * 1000)],
    "headers": [b"HTTP/1.1 200 OK\r\n", *drip(b"X-Slow: " + b"x" * 1000)],
    "status line": drip(b"HTTP/1.1 200 " + b"O" * 1000),
    "zipped body": [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 999\r\n\r\n",
        *drip(gzip.compress(EMPTY) * 9),
    ],
    "stall": [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 4.0],
    "silence": [4.0],
    "a 500's body": [b"HTTP/1.1 500 OK\r\nContent-Length: 1000\r\n\r\n", *drip(b" " * 1000)],
}


@pytest.mark.parametrize("kind", SLOW)
def test_G7_no_slow_answer_holds_the_poller_beyond_its_deadline(kind: str, loopback: Loopback, make: Make) -> None:
    loopback.script = [SLOW[kind]]
    client = make(loopback.url, patience=SHORT)
    started = time.monotonic()
    with pytest.raises(GitHubError) as caught:
        client.newest_runs("o/r")
    assert time.monotonic() - started < 3.5
    assert caught.value.retryable
    if kind in ("silence", "headers", "status line"):
        assert len(loopback.asked) == 1  # what has timed out once is not asked for again within the call


def huge(head: bytes, body: bytes, times: int) -> list[Piece]:
    return [b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", *[body] * times]


BOMB = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB_BYTES = b"".join(BOMB.compress(b"0" * 1024 * 1024) for _ in range(200)) + BOMB.flush()
MEGABYTE = b" " * 1024 * 1024
LARGE: dict[str, list[Piece]] = {
    "length given": huge(b"Content-Length: 104857600\r\n", MEGABYTE, 100),
    "no length": huge(b"", MEGABYTE, 100),
    "chunked": huge(b"Transfer-Encoding: chunked\r\n", b"100000\r\n" + MEGABYTE + b"\r\n", 100),
    "gzip bomb": huge(b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(BOMB_BYTES), BOMB_BYTES, 1),
    "gzip in gzip": huge(
        b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n" % len(gzip.compress(BOMB_BYTES)),
        gzip.compress(BOMB_BYTES),
        1,
    ),
    "header": huge(b"X-Large: " + b"x" * 200_000 + b"\r\n", EMPTY, 1),
    "headers": huge(b"".join(b"X-%d: 1\r\n" % n for n in range(5000)), EMPTY, 1),
    "a 500's body": [b"HTTP/1.1 500 X\r\nContent-Length: 104857600\r\n\r\n", *[MEGABYTE] * 100],
}


@pytest.mark.parametrize("kind", LARGE)
def test_G7_no_large_answer_is_taken_into_memory(kind: str, loopback: Loopback, make: Make) -> None:
    loopback.script = [LARGE[kind]]
    client = make(loopback.url, patience=Patience(2, 2, 10, largest_body=4 * 1024 * 1024))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(GitHubError):
        client.newest_runs("o/r")
    assert len(loopback.asked) == (3 if kind.startswith("header") else 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_G7_a_body_as_large_as_the_cap_is_still_read(loopback: Loopback, make: Make) -> None:
    body = EMPTY + b" " * (1024 * 1024 - len(EMPTY))
    loopback.script = [http(200, gzip.compress(body), Content_Encoding="gzip"), http(200, body + b" ")]
    client = make(loopback.url, patience=SHORT)
    assert client.newest_runs("o/r").runs == ()
    with pytest.raises(BadAnswer, match="too large"):
        client.newest_runs("o/r")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], "cut short"),
        (http(200, EMPTY[:-3]), "not JSON"),
        (http(200, b"<html>Unicorn!</html>"), "not JSON"),
        (http(200, EMPTY, Content_Encoding="gzip"), "zipped"),
        (http(200, gzip.compress(EMPTY)[:-20], Content_Encoding="gzip"), "not JSON|zipped"),
        (http(200, b""), "not JSON"),
        (http(204, b""), "204"),
        (http(200, b"[" * 100_000), "nested"),
        (http(200, b"null"), "no object"),
    ],
)
def test_G6_a_broken_answer_is_rejected_counted_and_its_etag_not_kept(
    answer: list[Piece], why: str, loopback: Loopback, make: Make
) -> None:
    tagged = [piece.replace(b"X\r\n", b'X\r\nETag: "bad"\r\n', 1) for piece in answer if isinstance(piece, bytes)]
    loopback.script = [tagged, http(200, EMPTY, ETag='"good"')]
    client = make(loopback.url)
    before = counted("github_rejected_answers_total")
    with pytest.raises(BadAnswer, match=why):
        client.newest_runs("o/r")
    assert counted("github_rejected_answers_total") == before + (0 if why == "204" else 1)
    assert client.newest_runs("o/r").etag == '"good"'
    assert "if-none-match" not in loopback.asked[1].headers


def test_G1_a_5xx_is_tried_again_and_a_4xx_is_not(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(502), http(503), http(200, EMPTY)]
    client = make(loopback.url)
    client.newest_runs("o/r")
    assert client.counts.calls == len(loopback.asked) == 3
    loopback.script = [http(422)]
    with pytest.raises(GitHubError):
        client.newest_runs("o/r")
    assert len(loopback.asked) == 4


def test_G1_a_5xx_that_stays_is_a_server_error_without_sleeping_through_a_retry_after(
    loopback: Loopback, make: Make
) -> None:
    loopback.script = [http(503, Retry_After="3600")]
    started = time.monotonic()
    with pytest.raises(ServerError):
        make(loopback.url).newest_runs("o/r")
    assert time.monotonic() - started < 20
    assert len(loopback.asked) == 3


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_G8_each_cause_is_named(api: str, loopback: Loopback, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = f"http://127.0.0.1:{free_port()}"
    cases = [
        ("http://no-such-host.invalid", "name was not found"),
        (refused, "refused"),
        (api.replace("http", "https"), "TLS failed"),
    ]
    for url, words in cases:
        client = make(url, cache=None)
        for _ in range(2):
            with pytest.raises(Unreachable, match=words):
                client.newest_runs("o/r")
        assert words in (client.trouble or ""), url
        assert TOKEN not in (client.trouble or "")
    loopback.script = [[]]
    client = make(loopback.url)
    for _ in range(2):
        with pytest.raises(Unreachable, match="cut"):
            client.newest_runs("o/r")
    monkeypatch.setenv("HTTP_PROXY", refused)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(Unreachable, match="proxy"):
        make("http://api.example").newest_runs("o/r")


def test_G8_a_certificate_that_is_not_accepted_is_named(tmp_path: Path, make: Make) -> None:
    port, stop = tls_server(tmp_path)
    try:
        with pytest.raises(Unreachable, match="certificate"):
            make(f"https://localhost:{port}").newest_runs("o/r")
    finally:
        stop()


def tls_server(directory: Path):  # type: ignore[no-untyped-def]
    """Serve TLS with a certificate that nobody has signed."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    pem = directory / "tls.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(2)

    return server.getsockname()[1], stop


def test_G1_the_breaker_fails_fast_after_three_calls_and_closes_again(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(500)]
    client = make(loopback.url, patience=QUICK)
    for _ in range(3):
        with pytest.raises(ServerError):
            client.newest_runs("o/r")
    asked = len(loopback.asked)
    with pytest.raises(Unreachable, match="GitHub answers 500; asking again in"):
        client.newest_runs("o/r")
    assert len(loopback.asked) == asked
    assert "GitHub answers 500 (3 calls in a row)" in (client.trouble or "")


class KeepAlive(BaseHTTPRequestHandler):
    """Answers as GitHub does where it matters here: the connection stays open."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[tuple[str, int]]] = set()

    def do_GET(self) -> None:
        self.connections.add(self.client_address)
        status = 304 if self.headers.get("If-None-Match") == '"e"' else 200
        self.send_response(status)
        self.send_header("ETag", '"e"')
        if status == 200:
            self.send_header("Content-Length", str(len(EMPTY)))
        self.end_headers()
        if status == 200:
            self.wfile.write(EMPTY)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_one_connection_serves_call_after_call(make: Make) -> None:
    KeepAlive.connections.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
        thread.start()
        client = make(f"http://127.0.0.1:{server.server_port}")
        for _ in range(5):
            client.newest_runs("o/r")
            client.runs_at(f"http://127.0.0.1:{server.server_port}/repositories/5/actions/runs?page=2")
        assert client.counts.calls == 10
        assert client.counts.counted == 6
        client.close()
        server.shutdown()
    assert len(KeepAlive.connections) == 1
