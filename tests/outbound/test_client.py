"""Calls to other hosts: where a name really leads decides, at the moment of the connection."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipemon.domain.addresses import Allowed, Forbidden
from pipemon.outbound.client import Outbound, OutboundError
from tests.github.loopback import Loopback, http

LOOPBACK = Outbound(Allowed.of(["127.0.0.1", "localhost"]))
CLOSED = Outbound(Allowed.of([]))


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


def lead(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let every name lead to these addresses in turn; return what was asked."""
    asked: list[str] = []

    def found(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        address = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


def read(outbound: Outbound, url: str, most: int = 10_000, seconds: float = 5) -> bytes:
    stream = outbound.get(url, seconds)
    try:
        return b"".join(stream.pieces(most))
    finally:
        stream.close()


def test_an_answer_is_read_in_pieces(server: Loopback) -> None:
    server.script = [http(200, b"log", x_thing="1")]
    stream = LOOPBACK.get(f"{server.url}/x", 5)
    assert (stream.status, stream.headers["x-thing"], stream.length) == (200, "1", 3)
    assert b"".join(stream.pieces(100)) == b"log"
    stream.close()


def test_SSRF_a_name_that_leads_inside_is_not_called(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(monkeypatch, "127.0.0.1")
    with pytest.raises(Forbidden, match="leads to no public address"):
        CLOSED.get("https://logs.example.com/x", 5)
    assert server.asked == []


def test_SSRF_a_name_that_changes_its_mind_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when it is checked, loopback when it is called."""
    asked = lead(monkeypatch, "203.0.113.1", "127.0.0.1")
    with pytest.raises(Forbidden):
        CLOSED.get("https://logs.example.com/x", 5)
    assert asked == ["logs.example.com"]


def test_SSRF_no_redirect_is_followed(server: Loopback) -> None:
    server.script = [http(302, b"", Location=f"{server.url}/inside")]
    assert LOOPBACK.get(f"{server.url}/x", 5).status == 302
    assert len(server.asked) == 1


def test_SSRF_no_proxy_and_no_credentials_of_the_surroundings(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.script = [http(200, b"ok")]
    assert read(LOOPBACK, f"{server.url}/x") == b"ok"
    assert "authorization" not in {name.lower() for name in server.asked[0].headers}


def test_it_is_bounded_in_bytes_and_time(server: Loopback) -> None:
    server.script = [http(200, b"x" * 5000)]
    with pytest.raises(OutboundError, match="larger"):
        read(LOOPBACK, f"{server.url}/x", most=4999)


def test_a_body_that_is_cut_short_is_an_error() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        conn, _ = listener.accept()
        conn.recv(4096)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        conn.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(OutboundError):
        read(LOOPBACK, f"http://127.0.0.1:{listener.getsockname()[1]}/x")
    thread.join()
    listener.close()


def test_nobody_there_is_an_error_without_the_address() -> None:
    with pytest.raises(OutboundError) as told:
        LOOPBACK.get("http://127.0.0.1:9/secret?sig=abc", 5)
    assert "secret" not in str(told.value)
    assert "sig" not in str(told.value)
