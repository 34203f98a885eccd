"""The sign of life: it comes while all is read as planned, and not a moment longer."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from pipemon import telemetry
from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.health import _scheduler_health, trouble_in
from pipemon.heartbeat import chore_of
from pipemon.outbound.client import Outbound


@pytest.fixture
def outside() -> Iterator[Any]:
    """Somebody who counts signs of life; its `status` is what it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.heard.append(self.path)
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard, server.status = [], 200
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def counted(outcome: str) -> float:
    line = f'pipemon_heartbeats_total{{outcome="{outcome}"}}'
    found = [row for row in telemetry.metrics_text().decode().splitlines() if row.startswith(line)]
    return float(found[0].split()[-1]) if found else 0.0


def test_N7_it_comes_while_pipemon_sees_and_stops_when_it_does_not(outside: Any) -> None:
    trouble: list[str] = []
    url = f"http://127.0.0.1:{outside.server_port}/ping/secretpart"
    chore = chore_of(Secret(url), Outbound(Allowed.of(["127.0.0.1"])), lambda: trouble[0] if trouble else None)
    before = counted("taken")
    chore.work()
    assert (outside.heard, counted("taken") - before) == (["/ping/secretpart"], 1)
    trouble.append("the last round of reading ended 200 s ago")
    chore.work()
    assert len(outside.heard) == 1


def test_who_does_not_take_it_stops_nothing(outside: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outbound = Outbound(Allowed.of(["127.0.0.1"]))
    outside.status = 500
    address = Secret(f"http://127.0.0.1:{outside.server_port}/secretpart")
    chore_of(address, outbound, lambda: None).work()
    chore_of(Secret("http://127.0.0.1:9/secretpart"), outbound, lambda: None).work()
    inside = Outbound(Allowed.of([]))
    chore_of(address, inside, lambda: None).work()
    assert len(outside.heard) == 1
    assert "secretpart" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("read_age", "told_age", "leads", "why"),
    [
        (1.0, 1.0, True, None),
        (1.0, None, True, None),  # not yet
        (1.0, 500.0, False, None),  # another process tells
        (200.0, 1.0, True, "the last round of reading ended 200 s ago"),
        (1.0, 200.0, True, "nobody is told anything: the last round ended 200 s ago"),
    ],
)
def test_N7_it_is_not_healthy_where_nothing_is_read_or_nobody_is_told(
    read_age: float, told_age: float | None, leads: bool, why: str | None
) -> None:
    background: Any = SimpleNamespace(tick_age_seconds=lambda: read_age, leads=leads)
    found = {"github": {"state": "healthy", "cause": None}, "scheduler": _scheduler_health(background, told_age)}
    assert trouble_in(found) == why
