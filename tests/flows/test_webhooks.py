"""The real service told by deliveries: what changes shows at once, also when it is killed in between."""

import hashlib
import hmac
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from pipemon.simulator import Simulator
from tests.flows.service import Service
from tests.flows.test_restart import SHOP, check_the_log, rows, told, truth

SECRET = "made up for this test"
PATH = "/api/v1/webhooks/github"


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url:
        yield world, url
        world.hooks.stop()


@pytest.fixture
def service(sim: tuple[Simulator, str], tmp_path: Path) -> Iterator[Service]:
    """A service that polls once a minute: what shows sooner was delivered."""
    slow = {"POLL_INTERVAL_ACTIVE": "60", "POLL_INTERVAL_IDLE": "60", "GITHUB_WEBHOOK_SECRET": f"{SECRET},the old one"}
    started = Service(tmp_path, sim[1], SHOP, settings=slow)
    yield started
    started.kill()


def read_once(service: Service) -> None:
    service.start()
    # The deployments are read last.
    service.wait_for(lambda: rows(service, "SELECT 1 FROM deployment_reads WHERE read_at IS NOT NULL"))


def count(service: Service, where: str) -> int:
    return int(rows(service, f"SELECT count(*) FROM deliveries WHERE {where}")[0][0])


def test_what_is_delivered_shows_at_once(sim: tuple[Simulator, str], service: Service) -> None:
    world, _ = sim
    read_once(service)
    world.hooks.aim(service.url + PATH, SECRET)
    world.reset_counters()
    (run_id,) = world.add_runs(SHOP, seconds=0, branch="main", event="push")
    service.wait_for(lambda: service.get(f"/api/v1/builds/{run_id}").status_code == 200, seconds=10)
    service.wait_for(lambda: service.get("/api/v1/pipeline/overview").json()["status"] == "running", seconds=10)
    world.order("finish", SHOP, run=run_id, conclusion="failure")
    service.wait_for(lambda: service.get(f"/api/v1/builds/{run_id}").json()["conclusion"] == "failure", seconds=10)
    service.wait_for(lambda: service.get("/api/v1/pipeline/overview").json()["status"] == "failed", seconds=10)
    service.wait_for(lambda: count(service, "result IS NULL") == 0)
    build = service.get(f"/api/v1/builds/{run_id}").json()
    assert [job["status"] for job in build["jobs"]] == ["completed"] * 2
    assert world.counters()["by_route"].get("GET runs", 0) == 0, "no list was read: it was delivered"
    assert count(service, "result = 'applied'") == world.hooks.counters()["answered 202"]
    assert SECRET not in service.log()
    check_the_log(service)


def test_W2_what_was_answered_survives_a_kill(sim: tuple[Simulator, str], service: Service) -> None:
    world, _ = sim
    service.settings["LOG_LEVEL"] = "WARNING"
    read_once(service)
    world.hooks.aim(service.url + PATH, SECRET)
    made = world.add_runs(SHOP, count=30, seconds=0)
    # Killed as soon as some are stored; the others find nobody, as in a real outage.
    service.wait_for(lambda: count(service, "1") >= 5)
    service.kill()
    world.hooks.stop()
    answered = world.hooks.counters()["answered 202"]
    service.start()
    service.wait_for(lambda: count(service, "result IS NULL") == 0)
    # The kill may fall between the last one's commit and its answer: more may be stored than was answered, never less.
    assert 4 <= answered <= count(service, "result = 'applied'") == count(service, "1")
    service.wait_for(lambda: set(told(service)) == set(made))
    check_the_log(service)


def test_W4_with_trouble_of_every_kind_all_is_true_in_the_end(sim: tuple[Simulator, str], service: Service) -> None:
    world, _ = sim
    service.settings |= {"POLL_INTERVAL_ACTIVE": "1", "POLL_INTERVAL_IDLE": "2"}
    read_once(service)
    world.hooks.aim(service.url + PATH, SECRET, dropped=0.3, doubled=0.2, shuffled=0.3, replayed=0.2, forged=0.2)
    for _ in range(10):
        world.add_runs(SHOP, count=2, seconds=2, conclusion="failure")
        time.sleep(0.4)
    time.sleep(2)
    service.wait_for(lambda: told(service) == truth(world))
    world.advance(30)  # the shuffled ones come late, and change nothing any more
    service.wait_for(lambda: world.hooks.counters().get("answered 401", 0) == world.hooks.counters()["forged"] > 0)
    service.wait_for(lambda: count(service, "result IS NULL") == 0)
    assert told(service) == truth(world)
    counts = world.hooks.counters()
    assert not [name for name in counts if name.startswith("answered 5")]
    check_the_log(service)


def burst(service: Service, bodies: list[bytes], seconds: float) -> list[tuple[int, float]]:
    """Post all bodies, evenly spread over so many seconds; return each answer's status and time in seconds."""
    local = threading.local()
    began = time.monotonic()

    def post(number: int) -> tuple[int, float]:
        session = local.__dict__.setdefault("session", requests.Session())
        time.sleep(max(0.0, began + seconds * number / len(bodies) - time.monotonic()))
        body = bodies[number]
        headers = {
            "Content-Type": "application/json", "X-GitHub-Event": "workflow_run",
            "X-GitHub-Delivery": f"burst-{number}",
            "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }  # fmt: skip
        sent_at = time.monotonic()
        answer = session.post(service.url + PATH, data=body, headers=headers, timeout=30)
        return answer.status_code, time.monotonic() - sent_at

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(post, range(len(bodies))))


def bodies_of(world: Simulator, runs: int) -> list[bytes]:
    """Return the deliveries of so many runs' beginnings and ends."""
    world.hooks.aim(secret=SECRET)
    world.add_runs(SHOP, count=runs, seconds=1)
    time.sleep(2.1)
    return [posting.body for posting in world.hooks.take() if posting.event == "workflow_run"]


def check_the_burst(world: Simulator, service: Service, bodies: list[bytes], seconds: float) -> None:
    read_once(service)
    answers = burst(service, bodies, seconds)
    assert {status for status, _ in answers} == {202}
    assert max(took for _, took in answers) < 10, "GitHub waits ten seconds"
    service.wait_for(lambda: count(service, "result = 'applied'") == len(bodies), seconds=60)
    stored = {json.loads(body)["workflow_run"]["id"] for body in bodies}
    assert stored <= set(told(service))
    check_the_log(service)


def test_W6_a_burst_is_answered_and_none_is_lost(sim: tuple[Simulator, str], service: Service) -> None:
    bodies = bodies_of(sim[0], 60)
    check_the_burst(sim[0], service, bodies, seconds=1)


@pytest.mark.proof
def test_W6_two_thousand_in_ten_seconds(sim: tuple[Simulator, str], service: Service) -> None:
    bodies = bodies_of(sim[0], 1000)[:2000]
    assert len(bodies) == 2000
    check_the_burst(sim[0], service, bodies, seconds=10)


def test_W5_while_the_database_is_locked_nothing_is_answered_2xx(sim: tuple[Simulator, str], service: Service) -> None:
    bodies = bodies_of(sim[0], 3)
    read_once(service)
    holder = sqlite3.connect(service.data_dir / "pipemon.sqlite3", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        refused = burst(service, bodies[:2], 0)
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert {status for status, _ in refused} == {503}
    assert count(service, "1") == 0
    answers: list[Any] = burst(service, bodies[:2], 0)
    assert {status for status, _ in answers} == {202}
