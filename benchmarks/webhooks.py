"""A burst of webhook deliveries under the real gunicorn: none unanswered, none lost, and the hub goes on turning."""

import hashlib
import hmac
import http.client
import json
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import websocket

from benchmarks.http import pipemon_settings
from benchmarks.report import Figure, at_most, plain
from benchmarks.served import free_port, late, serve
from pipemon.simulator import Simulator

DELIVERIES = 2000
CALM_SECONDS = 15.0
SECONDS = 10.0
CLIENTS = 20
SECRET = "made up for this benchmark"
PATH = "/api/v1/webhooks/github"
GITHUB_WAITS_SECONDS = 10.0
DRAIN_SECONDS = 120.0


def measure() -> list[Figure]:
    """2,000 signed deliveries of runs and jobs in 10 seconds, twenty times what a busy organisation sends."""
    posts, world = _posts(DELIVERIES), Simulator(size="empty", seed=2)
    world.hooks.aim(secret=SECRET)
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as name, world.serve() as url:
        folder, port = Path(name), free_port()
        config = str(Path(__file__).parents[1] / "gunicorn.conf.py")
        settings = pipemon_settings(folder, port) | {
            "GITHUB_REPOSITORIES": "octo-harbor/shop", "GITHUB_WEBHOOK_SECRET": SECRET, "GITHUB_API_URL": url,
            "POLL_INTERVAL_ACTIVE": "600", "POLL_INTERVAL_IDLE": "600",
        }  # fmt: skip
        with serve("-c", config, "wsgi:app", port=port, path="/health", cwd=folder, **settings) as served:
            time.sleep(3)  # the first read of the repository: until then nothing is news
            calm = _calm(port, world)
            lags, cpu = served.hub_lags(), served.cpu_seconds()
            answers = _send(port, posts)
            drained = _drain(folder)
            cpu, lag = served.cpu_seconds() - cpu, late(lags, served.hub_lags(), 0.99)
        delays, calm_delays = _delays(folder, calm.count), _delays(folder, 0, calm.count)
    took = sorted(seconds for _, seconds in answers)
    arrival = sorted(calm.from_arrival)
    return [
        plain("calm: arrival to a WebSocket client, p50 / p99", _both(arrival)),
        plain("calm: arrival to the effect's commit, p50 / p99", _both(calm_delays)),
        at_most("deliveries not answered with 202", sum(status != 202 for status, _ in answers), 0),
        at_most("answered with 202 and not applied", DELIVERIES - len(delays), 0),
        at_most("slowest answer", took[-1], GITHUB_WAITS_SECONDS, " s"),
        plain("answers, p50 / p99", f"{took[len(took) // 2] * 1000:.0f} / {took[int(len(took) * 0.99)] * 1000:.0f} ms"),
        at_most("hub lag p99, up to", lag, 0.25, " s"),
        plain(
            "arrival to effect, p50 / p99", f"{delays[len(delays) // 2]:.2f} / {delays[int(len(delays) * 0.99)]:.2f} s"
        ),
        plain("all applied after the last answer", f"{drained:.1f} s"),
        plain("CPU of a delivery, answer and effect", f"{cpu / DELIVERIES * 1000:.1f} ms"),
    ]


@dataclass
class Calm:
    """What one client heard: the seconds since the sending of each delivery, and how many were sent."""

    from_arrival: list[float] = field(default_factory=list)
    count: int = 0


def _both(seconds: list[float]) -> str:
    return f"{seconds[len(seconds) // 2] * 1000:.0f} / {seconds[int(len(seconds) * 0.99)] * 1000:.0f} ms"


def _calm(port: int, world: Simulator) -> Calm:
    """Let runs begin and end one by one, send what is told of them at once, and listen."""
    found, sent = Calm(), dict[tuple[int, str], float]()
    client = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=3)
    client.send('{"type": "subscribe", "events": ["builds"]}')
    client.recv()

    def listen() -> None:
        while True:
            try:
                message = json.loads(client.recv())
            except (OSError, ValueError, websocket.WebSocketException):
                return
            now, data = time.time(), message.get("data", {})
            at = sent.pop((data.get("build_id"), data.get("status")), None)
            found.from_arrival += [] if at is None else [now - at]

    listener = threading.Thread(target=listen)
    listener.start()
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    until = time.monotonic() + CALM_SECONDS
    while time.monotonic() < until:
        world.add_runs("octo-harbor/shop", seconds=2)
        for posting in world.hooks.take():
            told = json.loads(posting.body).get("workflow_run")
            if told is not None:
                sent.setdefault((told["id"], told["status"]), time.time())
            conn.request("POST", PATH, posting.body, posting.headers())
            conn.getresponse().read()
            found.count += 1
        time.sleep(0.2)
    listener.join()
    return found


def _posts(count: int) -> list[tuple[bytes, dict[str, str]]]:
    """Return the deliveries of the beginnings and ends of some hundreds of runs, in order."""
    moment = [time.time() - 120]
    sim = Simulator(size="empty", clock=lambda: moment[0])
    sim.hooks.aim(secret=SECRET)
    found: list[tuple[bytes, dict[str, str]]] = []
    while len(found) < count:
        sim.add_runs("octo-harbor/shop", count=10, seconds=20)
        moment[0] += 1
        found += [(posting.body, posting.headers()) for posting in sim.hooks.take()]
    for body, headers in found:
        assert hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest() in headers["X-Hub-Signature-256"]
    return found[:count]


def _send(port: int, posts: list[tuple[bytes, dict[str, str]]]) -> list[tuple[int, float]]:
    """Send them evenly over the ten seconds; return status (0: none) and seconds of each answer."""
    local = threading.local()
    began = time.monotonic()

    def send(number: int) -> tuple[int, float]:
        if not hasattr(local, "conn"):
            local.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        time.sleep(max(0.0, began + SECONDS * number / len(posts) - time.monotonic()))
        body, headers = posts[number]
        sent_at = time.monotonic()
        try:
            local.conn.request("POST", PATH, body, headers)
            answer = local.conn.getresponse()
            answer.read()
        except OSError:
            local.conn.close()
            return 0, time.monotonic() - sent_at
        return answer.status, time.monotonic() - sent_at

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(send, range(len(posts))))


def _rows(folder: Path, statement: str) -> list[tuple[float, ...]]:
    conn = sqlite3.connect(f"file:{folder / 'pipemon.sqlite3'}?mode=ro", uri=True)
    try:
        return conn.execute(statement).fetchall()
    finally:
        conn.close()


def _drain(folder: Path) -> float:
    """Return the seconds until nothing waits any more."""
    began = time.monotonic()
    while time.monotonic() - began < DRAIN_SECONDS:
        if _rows(folder, "SELECT count(*) FROM deliveries WHERE result IS NULL") == [(0,)]:
            break
        time.sleep(0.05)
    return time.monotonic() - began


def _delays(folder: Path, after: int, until: int = 2**31) -> list[float]:
    query = f"SELECT applied_at - received_at FROM deliveries WHERE result = 'applied' AND id > {after}"
    query += f" AND id <= {until} ORDER BY 1"
    return [row[0] for row in _rows(folder, query)]
