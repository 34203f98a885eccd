"""Logs through the real service: whatever their size, in little memory, and nothing is left of those who leave."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from pipemon.simulator import Simulator
from tests.flows.service import Service

SHOP = "octo-harbor/shop"
MIB = 1024 * 1024


class Storage(ThreadingHTTPServer):
    """Keeps one log of any size."""

    daemon_threads = True
    size = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeper)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Keeper(BaseHTTPRequestHandler):
    """Sends it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = self.server.size  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = b"2026-01-31T12:00:00.0000000Z a line of a log that is very long\n" * 1000
        try:
            while size > 0:
                self.wfile.write(piece[: min(size, len(piece))])
                size -= len(piece)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def storage() -> Iterator[Storage]:
    found = Storage()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def service(tmp_path: Path, storage: Storage) -> Iterator[Service]:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url:
        started = Service(tmp_path, url, SHOP, {"OUTBOUND_ALLOW": "127.0.0.1,localhost", "LOG_LEVEL": "WARNING"})
        (run_id,) = world.add_runs(SHOP, seconds=1)
        started.start()
        started.wait_for(lambda: started.get(f"/api/v1/builds/{run_id}").status_code == 200)
        started.settings["path"] = f"/api/v1/builds/{run_id}/logs"
        place = f"http://127.0.0.1:{storage.server_port}/log?sig=secret"
        world.order_fault("redirect", route="logs$", status=302, location=place, times=None)
        yield started
        started.kill()


def worker(service: Service) -> int:
    assert service.process is not None
    master = service.process.pid
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def peak_bytes(process: int) -> int:
    """Return the most memory that the process ever had."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def download(service: Service, storage: Storage, size: int) -> None:
    path = service.settings["path"]
    storage.size = MIB
    assert len(service.get(path).content) == MIB
    process = worker(service)
    before = peak_bytes(process)
    storage.size = size
    got = 0
    with requests.get(service.url + path, stream=True, timeout=300) as answer:
        assert answer.headers["Content-Length"] == str(size)
        for piece in answer.iter_content(MIB):
            got += len(piece)
    growth = peak_bytes(process) - before
    print(f"{size / MIB:.0f} MiB: memory grew by {growth / MIB:.1f} MiB, {growth / size:.4f} of the size")
    assert got == size
    assert growth <= max(0.05 * size, 4 * MIB)


def test_L1_a_large_log_takes_little_memory(service: Service, storage: Storage) -> None:
    download(service, storage, 128 * MIB)


@pytest.mark.proof
def test_L1_full_a_gibibyte(service: Service, storage: Storage) -> None:
    download(service, storage, 1024 * MIB)


def leave(service: Service, storage: Storage, count: int) -> None:
    """Leave in the middle of so many downloads; then nothing of them is left."""
    storage.size = 64 * MIB
    assert service.get("/health").status_code == 200
    folder = Path(f"/proc/{worker(service)}/fd")
    files = {path for path in service.data_dir.rglob("*") if path.is_file()}
    before = len(os.listdir(folder))
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as sock:
            sock.sendall(f"GET {service.settings['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert b"200 OK" in sock.recv(4096)
    service.wait_for(lambda: len(os.listdir(folder)) <= before + 2, seconds=20)
    assert {path for path in service.data_dir.rglob("*") if path.is_file()} == files
    storage.size = 1000
    # Each place was given back: as many as there are can be taken at one time again.
    assert [service.get(service.settings["path"]).status_code for _ in range(12)] == [200] * 12


def test_L7_who_leaves_leaves_nothing(service: Service, storage: Storage) -> None:
    leave(service, storage, 30)


@pytest.mark.proof
def test_L7_full_a_thousand_leave(service: Service, storage: Storage) -> None:
    leave(service, storage, 1000)
