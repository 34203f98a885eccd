"""A server process under load: what it costs in its own CPU, which neighbours on the machine don't change."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, and the process that does the work."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def hub_lags(self) -> dict[float, float]:
        """Return how many times the hub was late by no more than each bound in seconds, so far."""
        text = requests.get(f"{self.url}/metrics", timeout=60).text
        found = re.findall(r'pipemon_hub_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', text)
        return {float(bound): float(count) for bound, count in found}


def late(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return the bound that this share of the lags between stays below."""
    counts = {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
    return min(bound for bound, count in counts.items() if count >= share * max(counts.values()))


@dataclass(frozen=True, slots=True)
class Load:
    """What a load of some seconds came to: requests per second of the server's CPU, and latencies in milliseconds."""

    per_cpu_second: float
    p50: float
    p99: float
    errors: int


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(*arguments: str, port: int, path: str, cwd: Path, **env: str) -> Iterator[Served]:
    """Run gunicorn with these arguments until the end of the block."""
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", "gunicorn", *arguments]
    with (cwd / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**base, "PYTHONPATH": str(ROOT), **env},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}{path}", process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Served(f"http://127.0.0.1:{port}", int(children[-1]))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(address, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not answer")


def load(served: Served, path: str, connections: int, seconds: int = 5, header: str = "") -> Load | None:
    """Put a load on one address; None where there is no wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    extra = ["-H", header] if header else []
    before = served.cpu_seconds()
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *extra, served.url + path]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = served.cpu_seconds() - before
    count = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return Load(count / cpu, _latency(told, "50%"), _latency(told, "99%"), int(refused[1]) if refused else 0)


def _latency(told: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)", told)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
