"""The simulator's deliveries: what GitHub would send, signed as GitHub signs, with trouble only on order."""

import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from pipemon.simulator import Simulator
from pipemon.simulator.hooks import Posting
from pipemon.simulator.plans import EPOCH
from tests.simulator.test_simulator import validator

ROOT = Path(__file__).parents[2]
SHOP, SECRET = "octo-harbor/shop", "made up"


class World(Simulator):
    """A simulator whose time a test moves."""

    def __init__(self) -> None:
        self.moment = float(EPOCH + 400 * 86400)
        super().__init__(size="empty", clock=lambda: self.moment)
        self.hooks.aim(secret=SECRET)

    def live(self, seconds: int, step: int = 1) -> list[Posting]:
        """Let time pass; return what was sent meanwhile."""
        found = []
        for _ in range(0, seconds, step):
            self.moment += step
            found += self.hooks.take()
        return found


@pytest.fixture
def world() -> World:
    return World()


def steps(postings: list[Posting], event: str = "workflow_run") -> list[str]:
    return [json.loads(posting.body)["action"] for posting in postings if posting.event == event]


def test_a_run_is_told_from_its_beginning_to_its_end(world: World) -> None:
    world.add_runs(SHOP, seconds=60, conclusion="failure")
    sent = world.live(90)
    assert steps(sent) == ["requested", "in_progress", "completed"]
    bodies = [json.loads(posting.body) for posting in sent if posting.event == "workflow_run"]
    assert [body["workflow_run"]["status"] for body in bodies] == ["queued", "in_progress", "completed"]
    assert bodies[-1]["workflow_run"]["conclusion"] == "failure"
    assert bodies[0]["repository"]["full_name"] == SHOP
    for body in bodies:
        validator("run").validate(body["workflow_run"])
    jobs = Counter(steps(sent, "workflow_job"))
    assert jobs["queued"] == jobs["completed"] == 2
    assert jobs["in_progress"] in (1, 2)  # a job that is skipped never starts


def test_nothing_is_told_twice_nor_what_was_before(world: World) -> None:
    world.add_runs(SHOP, seconds=20)
    assert world.live(100)
    assert world.live(100) == []
    later = Simulator(size="test", clock=lambda: EPOCH + 400 * 86400)
    later.hooks.aim(secret=SECRET)
    assert later.hooks.take() == []


def test_orders_are_told_of_old_runs_too(world: World) -> None:
    (run,) = world.add_runs(SHOP, seconds=20)
    world.live(100)
    world.moment += 5 * 86400
    world.order("rerun", SHOP, run=run, seconds=30)
    again = world.live(60)
    assert steps(again) == ["requested", "in_progress", "completed"]
    assert {json.loads(p.body)["workflow_run"]["run_attempt"] for p in again if p.event == "workflow_run"} == {2}


def test_long_steps_of_time_lose_no_delivery(world: World) -> None:
    world.add_runs(SHOP, count=5, seconds=60)
    assert Counter(steps(world.live(300, step=100))) == {"requested": 5, "in_progress": 5, "completed": 5}


def test_each_is_signed_over_its_bytes(world: World) -> None:
    world.add_runs(SHOP, seconds=20)
    sent = world.live(60)
    for posting in sent:
        expected = hmac.new(SECRET.encode(), posting.body, hashlib.sha256).hexdigest()
        assert posting.headers()["X-Hub-Signature-256"] == f"sha256={expected}"
    assert len({posting.guid for posting in sent}) == len(sent)


@pytest.mark.parametrize("kind", ["dropped", "doubled", "shuffled", "replayed", "forged"])
def test_trouble_comes_on_order_and_is_counted(world: World, kind: str) -> None:
    world.hooks.aim(secret=SECRET, **{kind: 0.5})
    world.add_runs(SHOP, count=40, seconds=30)
    sent, counts = world.live(120), world.hooks.counters()
    told, struck = counts["told"], counts[kind]
    assert 0.3 * told < struck < 0.7 * told
    guids = {posting.guid for posting in sent}
    more = {"dropped": -struck, "shuffled": 0}.get(kind, struck)
    assert len(sent) == told + more
    assert len(guids) == told + (more if kind != "doubled" else 0)
    if kind == "forged":
        right = [hmac.new(SECRET.encode(), p.body, hashlib.sha256).hexdigest() == p.signature[7:] for p in sent]
        assert right.count(False) == struck
    if kind == "shuffled":
        order = [json.loads(p.body)["action"] for p in sent if p.event == "workflow_run"]
        assert order != sorted(order, key=["requested", "in_progress", "completed"].index)


def test_delayed_ones_come_late(world: World) -> None:
    world.hooks.aim(secret=SECRET, delay_seconds=30)
    world.add_runs(SHOP, seconds=0)
    assert world.live(29) == []
    assert steps(world.live(3)) == ["requested"]


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[Any]]]:
    """The address of a server that keeps what is posted to it."""
    received: list[Any] = []

    class Keeper(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.headers["X-GitHub-Event"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Keeper)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_command_line_sends_them_too(inbox: tuple[str, list[Any]]) -> None:
    url, received = inbox
    command = [sys.executable, "-m", "pipemon.simulator", "--port", "0", "--size", "empty"]
    with subprocess.Popen(
        [*command, "--webhook-url", url, "--webhook-secret", SECRET], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base = process.stdout.readline().split()[-1]
        order = {"what": "add", "repository": "shop", "seconds": 0}
        requests.post(f"{base}/_sim/order", json=order, timeout=5)
        waiting = threading.Event()
        for _ in range(100):
            if received:
                break
            waiting.wait(0.05)
        process.terminate()
    assert received


def test_the_control_surface_sends_them_over_http(inbox: tuple[str, list[Any]]) -> None:
    url, received = inbox
    sim = Simulator(size="empty")
    with sim.serve() as control:
        requests.post(f"{control}/_sim/hooks", json={"url": url, "secret": SECRET}, timeout=5)
        sim.add_runs(SHOP, seconds=0)
        deadline = threading.Event()
        for _ in range(100):
            if requests.get(f"{control}/_sim/hooks/counters", timeout=5).json().get("answered 202"):
                break
            deadline.wait(0.05)
        sim.hooks.stop()
        counts = requests.get(f"{control}/_sim/hooks/counters", timeout=5).json()
    assert counts["answered 202"] == counts["sent"] == len(received) >= 1
    assert ("workflow_run", "requested") in {(event, json.loads(body)["action"]) for event, body in received}
