"""Clicks on the real service, killed in between: GitHub is asked once per key at most, and each gets an answer."""

import hashlib
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipemon.simulator import Simulator
from tests.flows.service import Service

SHOP = "octo-harbor/shop"
KEY = "pmk_operator_" + "x" * 32


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty", rate_limit=1_000_000)
    with world.serve() as url:
        yield world, url


@pytest.fixture
def service(sim: tuple[Simulator, str], tmp_path: Path) -> Iterator[Service]:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    started = Service(tmp_path, sim[1], SHOP, {"API_KEYS": f"ann:operate:{digest}"})
    yield started
    started.kill()


def click(service: Service, run_id: int) -> int | None:
    """Ask for a rerun, with a key of its own for each run; return the status, None where no answer came."""
    headers = {"X-API-Key": KEY, "Idempotency-Key": f"click-{run_id}"}
    try:
        return requests.post(f"{service.url}/api/v1/builds/{run_id}/rerun", headers=headers, timeout=15).status_code
    except requests.RequestException:
        return None


def states(service: Service) -> dict[int, str]:
    conn = sqlite3.connect(f"file:{service.data_dir / 'pipemon.sqlite3'}?mode=ro", uri=True)
    try:
        return dict(conn.execute("SELECT build_id, state FROM actions").fetchall())
    finally:
        conn.close()


def double_clicks_with_kills(world: Simulator, service: Service, count: int) -> None:
    """Click twice at once, kill somewhere in between, click again after the restart; then look at GitHub's side."""
    rng = random.Random(1)
    runs = world.add_runs(SHOP, count=count, seconds=1, conclusion="failure")
    service.start()
    service.wait_for(lambda: all(service.get(f"/api/v1/builds/{run}").status_code == 200 for run in runs))
    world.reset_counters()
    for run_id in runs:
        clicks = [threading.Thread(target=click, args=(service, run_id)) for _ in range(2)]
        for one in clicks:
            one.start()
        time.sleep(rng.uniform(0, 0.5))
        service.kill()
        for one in clicks:
            one.join()
        service.start()
        click(service, run_id)
    attempts = {run["id"]: len(run["attempts"]) for run in world.truth(SHOP)}
    asked = sum(n for route, n in world.counters()["by_route"].items() if route.startswith("POST"))
    assert max(attempts.values()) <= 2
    assert asked == sum(attempts.values()) - count <= count
    # What was asked when the process died is settled by the next one; whoever comes again gets the answer.
    service.wait_for(lambda: "asked" not in states(service).values(), seconds=20)
    for run_id in runs:
        answer = click(service, run_id)
        assert answer == (202 if attempts[run_id] == 2 or states(service)[run_id] == "accepted" else 502), run_id
    assert max(len(run["attempts"]) for run in world.truth(SHOP)) <= 2
    print(f"{count} double clicks with kills: GitHub was asked {asked} times, never twice for one key")


def test_D12_double_clicks_with_kills_between(sim: tuple[Simulator, str], service: Service) -> None:
    double_clicks_with_kills(sim[0], service, 4)


@pytest.mark.proof
def test_D12_full_a_hundred_double_clicks_with_kills_between(sim: tuple[Simulator, str], service: Service) -> None:
    double_clicks_with_kills(sim[0], service, 100)
