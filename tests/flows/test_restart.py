"""The real service, killed and restarted at any moment: nothing is lost, nothing comes twice."""

import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipemon.simulator import Simulator
from tests.flows.service import Service

SHOP = "octo-harbor/shop"


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url:
        yield world, url


@pytest.fixture
def service(sim: tuple[Simulator, str], tmp_path: Path) -> Iterator[Service]:
    started = Service(tmp_path, sim[1], SHOP)
    yield started
    started.kill()


def rows(service: Service, statement: str) -> list[Any]:
    conn = sqlite3.connect(f"file:{service.data_dir / 'pipemon.sqlite3'}?mode=ro", uri=True)
    try:
        return conn.execute(statement).fetchall()
    finally:
        conn.close()


def told(service: Service) -> dict[int, list[tuple[int, str | None]]]:
    """Return each run's attempts as they are stored."""
    found: dict[int, list[tuple[int, str | None]]] = {}
    query = "SELECT run_id, run_attempt, conclusion FROM attempts ORDER BY run_id, run_attempt"
    for run_id, attempt, conclusion in rows(service, query):
        found.setdefault(run_id, []).append((attempt, conclusion))
    return found


def truth(world: Simulator) -> dict[int, list[tuple[int, str | None]]]:
    return {run["id"]: [(a["run_attempt"], a["conclusion"]) for a in run["attempts"]] for run in world.truth(SHOP)}


def live_through_kills(world: Simulator, service: Service, kills: int, seed: int) -> None:
    """Let runs come, end and be rerun while the service is killed again and again; then compare both sides."""
    rng = random.Random(seed)
    under_way: list[int] = []
    for _ in range(kills):
        service.start(wait=False)
        until = time.monotonic() + rng.uniform(0.8, 4.0)
        while time.monotonic() < until:
            under_way += world.add_runs(SHOP, count=rng.randint(1, 3), seconds=0)
            if len(under_way) > 4:
                run_id = under_way.pop(rng.randrange(len(under_way)))
                world.order("finish", SHOP, run=run_id, conclusion=rng.choice(["success", "failure"]))
                if rng.random() < 0.3:
                    time.sleep(1.1)
                    world.order("rerun", SHOP, run=run_id, seconds=1, conclusion=rng.choice(["success", "failure"]))
            time.sleep(rng.uniform(0.05, 0.3))
        service.kill()
    for run_id in under_way:
        world.order("finish", SHOP, run=run_id)
    time.sleep(1.1)
    service.start()
    with contextlib.suppress(AssertionError):
        service.wait_for(lambda: told(service) == truth(world), seconds=180)
    known, true = told(service), truth(world)
    assert {run: (known.get(run), states) for run, states in true.items() if known.get(run) != states} == {}
    assert known == true


def check_the_log(service: Service) -> None:
    """Check I1 and I4: ids without a gap, each end once, the last event of an attempt is its state."""
    ids = [row[0] for row in rows(service, "SELECT id FROM events ORDER BY id")]
    assert ids == list(range(1, len(ids) + 1))
    assert rows(service, "SELECT last_id FROM event_log") == [(len(ids),)]
    ends = rows(service, "SELECT run_id, run_attempt FROM events WHERE dedupe_key LIKE 'run:%:completed'")
    assert len(ends) == len(set(ends))
    over = rows(service, "SELECT run_id, run_attempt FROM attempts WHERE status = 'completed'")
    assert set(ends) == set(over)
    assert rows(service, "PRAGMA integrity_check") == [("ok",)]


def test_D1_killed_at_any_moment_nothing_is_lost_or_doubled(sim: tuple[Simulator, str], service: Service) -> None:
    live_through_kills(sim[0], service, kills=4, seed=1)
    check_the_log(service)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(4))
def test_D1_full_two_hundred_kills(sim: tuple[Simulator, str], service: Service, seed: int) -> None:
    live_through_kills(sim[0], service, kills=50, seed=seed)
    check_the_log(service)


def test_it_answers_serves_and_ends_in_time(sim: tuple[Simulator, str], service: Service) -> None:
    world, _ = sim
    service.start()
    (run_id,) = world.add_runs(SHOP, seconds=0, branch="main", event="push")
    service.wait_for(lambda: service.get(f"/api/v1/builds/{run_id}").json().get("status") == "in_progress")
    assert service.get("/api/v1/pipeline/overview").json()["status"] == "running"
    build = service.get(f"/api/v1/builds/{run_id}").json()
    assert (build["id"], build["status"], build["branch"]) == (run_id, "in_progress", "main")
    assert service.get("/api/v1/pipeline/recent").json()["activities"][0]["id"] == run_id
    world.order("finish", SHOP, run=run_id, conclusion="failure")
    service.wait_for(lambda: service.get("/api/v1/pipeline/overview").json()["status"] == "failed")
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 8
    assert "Traceback" not in service.log()


def test_I7_the_token_is_nowhere(sim: tuple[Simulator, str], service: Service) -> None:
    service.settings["LOG_LEVEL"] = "DEBUG"
    sim[0].add_runs(SHOP, count=3, seconds=0)
    service.start()
    service.wait_for(lambda: len(told(service)) == 3)
    shown = [service.get(path).text for path in ("/health", "/metrics", "/api/v1/pipeline/status", "/api/v1/builds")]
    service.stop()
    token = ("ghp_" + "t" * 36).encode()
    files = [path for path in service.data_dir.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert not [path.name for path in files if token in path.read_bytes()]
    assert not any(token.decode() in text for text in shown)
