"""The WebSocket: one event to ten thousand clients, what an idle one costs, and how late an event is."""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchmarks.report import Figure, at_least, at_most, not_measured, plain
from benchmarks.served import ROOT, Served, free_port, serve
from pipemon.domain.events import Event
from pipemon.store import events
from pipemon.store.engine import Database

CLIENTS = 10_000
EVENTS = 20
REPOSITORY = "acme/shop"


def measure() -> list[Figure]:
    """10,000 clients of one worker; the events are written by another process, as on a second host."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(CLIENTS, most - 2000)
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        settings = {
            "GITHUB_TOKEN": "ghp_" + "b" * 36,
            "GITHUB_REPOSITORIES": REPOSITORY,
            "GITHUB_API_URL": "http://127.0.0.1:9",
            "DATA_DIR": name,
            "PORT": str(port),
            "LOG_LEVEL": "WARNING",
        }
        config = str(ROOT / "gunicorn.conf.py")
        with serve("-c", config, "wsgi:app", port=port, path="/health", cwd=folder, **settings) as served:
            figures, ours = _with_clients(served, port, count, Database(f"sqlite:///{folder / 'pipemon.sqlite3'}"))
    return figures + _beside(ours, count)


@dataclass(frozen=True, slots=True)
class Fanned:
    """What one server's events cost: milliseconds from the first client to the last, CPU seconds, connects a second."""

    spread: float
    cpu: float
    per_second: float


def _beside(ours: Fanned, count: int) -> list[Figure]:
    """Measure the peers with the same clients and frames of the same size."""
    node = shutil.which("node")
    peers = {"websockets.broadcast": [sys.executable, "-m", "benchmarks.live_peers"]}
    figures = []
    if (
        node
        and subprocess.run([node, "-e", "require('ws')"], cwd=ROOT, capture_output=True, check=False).returncode == 0
    ):
        peers["Node ws"] = [node, "benchmarks/live_peer.js"]
    else:
        figures.append(not_measured("first to last client beside Node ws", "no node with ws (NODE_PATH)"))
    for name, command in peers.items():
        peer = _peer(command, count)
        figures += [
            at_most(f"first to last client beside {name}", ours.spread / peer.spread, 0.75, "x"),
            plain(f"  of {name}: ms, CPU ms, connects a second",
                  f"{peer.spread:.0f}, {peer.cpu * 1000:.0f}, {peer.per_second:.0f}"),
            plain(f"CPU per event beside {name}", f"{ours.cpu / peer.cpu:.2f}x"),
            at_least(f"connects a second beside {name}", ours.per_second / peer.per_second, 0.8, "x"),
        ]  # fmt: skip
    return figures


def _peer(command: list[str], count: int) -> Fanned:
    port = free_port()
    pipes: dict[str, Any] = {"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    quiet: dict[str, Any] = {**pipes, "stderr": subprocess.DEVNULL}  # it tells of each client that leaves
    fleet = [sys.executable, "-m", "benchmarks.live_clients", str(port), str(count)]
    with subprocess.Popen([*command, str(port)], **quiet) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdout.readline()
        served, began = Served("", server.pid), time.monotonic()
        with subprocess.Popen(fleet, **pipes) as clients:
            assert clients.stdin is not None and clients.stdout is not None
            connected = int(clients.stdout.readline())
            per_second = connected / (time.monotonic() - began)
            spreads, cpu = [], served.cpu_seconds()
            for _ in range(EVENTS):
                clients.stdin.write("\n")
                clients.stdin.flush()
                time.sleep(0.3)
                server.stdin.write("\n")
                server.stdin.flush()
                told = json.loads(clients.stdout.readline())
                if told["count"] == connected:
                    spreads.append((told["moments"][1] - told["moments"][0]) * 1000)
            cpu = (served.cpu_seconds() - cpu) / EVENTS
            clients.stdin.close()
        server.stdin.close()
        server.kill()
    return Fanned(statistics.median(spreads), cpu, per_second)


def _with_clients(served: Served, port: int, count: int, db: Database) -> tuple[list[Figure], Fanned]:
    before, began = served.memory_mb(), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.live_clients", str(port), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin is not None and clients.stdout is not None
        connected = int(clients.stdout.readline())
        per_second = connected / (time.monotonic() - began)
        kilobytes = (served.memory_mb() - before) * 1000 / connected
        told = [_tell(db, number, clients) for number in range(EVENTS)]
        cpu = served.cpu_seconds()
        told += [_tell(db, EVENTS + number, clients) for number in range(5)]
        cpu = (served.cpu_seconds() - cpu) / 5
        clients.stdin.close()
    db.close()
    complete = [one for one in told if one["count"] == connected and one["exact"]]
    spread = [(one["moments"][1] - one["moments"][0]) * 1000 for one in complete]
    late = sorted((one["moments"][0] - one["at"]) * 1000 for one in complete)
    ours = Fanned(statistics.median(spread), cpu, per_second)
    figures = [
        at_least("clients connected", connected, CLIENTS),
        plain("connects a second", f"{per_second:.0f}"),
        at_most("memory per idle client", kilobytes, 4, " KB"),
        at_least("events that reached all as one exact frame, of 25", len(complete), len(told)),
        plain("first to last client, median (ms)", f"{statistics.median(spread):.0f}" if spread else "not measured"),
        plain("CPU per event (ms)", f"{cpu * 1000:.0f}"),
        plain(
            "another process's commit to the first client, p50, max (ms)", f"{late[len(late) // 2]:.0f}, {late[-1]:.0f}"
        ),
    ]
    return figures, ours


def _tell(db: Database, number: int, clients: "subprocess.Popen[str]") -> dict[str, Any]:
    """Commit one event, and wait until everybody has got it."""
    assert clients.stdin is not None and clients.stdout is not None
    clients.stdin.write("\n")
    clients.stdin.flush()
    time.sleep(0.3)  # the clients begin to listen
    event = Event("build_started", "builds", REPOSITORY, f"bench:{number}", 0, 1, 1, False, {"pad": "x" * 300})

    def work(conn: Connection) -> None:
        events.lock(conn)
        events.append(conn, [event], time.time())

    db.transact(work)
    at = time.monotonic()
    return {**json.loads(clients.stdout.readline()), "at": at}
