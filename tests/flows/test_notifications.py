"""The whole road on the real service: from GitHub's run to Slack's inbox, under kills."""

import random
import sqlite3
import time

import pytest

from pipemon.simulator import Simulator
from tests.flows.conftest import SHOP
from tests.flows.service import Service
from tests.notify.inbox import Inbox


def headings(inbox: Inbox) -> list[str]:
    return [post["blocks"][0]["text"]["text"] for post in inbox.posts]


def fail(world: Simulator, branch: str = "main") -> int:
    (run_id,) = world.add_runs(SHOP, seconds=0, branch=branch, event="push")
    world.order("finish", SHOP, run=run_id, conclusion="failure")
    return run_id


def test_main_breaks_and_is_repaired(sim: tuple[Simulator, str], service: Service, inbox: Inbox) -> None:
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    run_id = fail(sim[0])
    service.wait_for(lambda: len(inbox.posts) == 1)
    assert headings(inbox)[0].endswith("failed on main")
    assert f"/actions/runs/{run_id}" in str(inbox.posts[0]["blocks"][-1])
    time.sleep(1.1)
    sim[0].order("rerun", SHOP, run=run_id, seconds=1, conclusion="success")
    service.wait_for(lambda: len(inbox.posts) == 2)
    assert headings(inbox)[1].endswith("is repaired on main")
    assert service.get("/api/v1/notifications/status").json()["successful_notifications_count"] == 2
    assert service.get("/health").json()["checks"]["slack"] == "healthy"
    log = service.get("/api/v1/events?types=notification_sent").json()["events"]
    assert "secretpart" not in service.log()
    assert [event["data"]["status"] for event in log] == ["sent", "sent"]


def through_kills(world: Simulator, service: Service, inbox: Inbox, kills: int, seed: int = 1) -> None:
    """Break two branches each time among builds that succeed, and kill at any moment.

    Each failure is told once, or once more with the mark; each build's beginning and end is in the log once.
    """
    rng = random.Random(seed)
    expected: set[tuple[int, str]] = set()
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    with sqlite3.connect(service.data_dir / "pipemon.sqlite3") as conn:
        conn.execute("UPDATE notification_rules SET conditions = '[]'")
    conn.close()
    broken = []
    for number in range(kills):
        for part in range(2):
            branch = f"topic-{number}-{part}"
            bad = fail(world, branch)
            expected |= {(bad, name) for name in ("build_queued", "build_started", "build_failed")}
            broken.append(branch)
        good = world.add_runs(SHOP, count=15, seconds=1, branch="main", event="push")
        expected |= {(run, name) for run in good for name in ("build_queued", "build_started", "build_succeeded")}
        time.sleep(rng.uniform(0.1, 3.0))
        service.kill()
        service.start()

    def told() -> set[str]:
        return {heading.rsplit(" on ", 1)[1] for heading in headings(inbox)}

    patience = 60 + 3 * kills
    service.wait_for(lambda: told() == set(broken), seconds=patience)
    service.wait_for(lambda: service.get("/api/v1/notifications/status").json()["pending_count"] == 0, patience)
    service.wait_for(lambda: set(service.transitions()) == expected, seconds=patience)
    plain = [heading for heading in headings(inbox) if not heading.startswith("(possible repeat)")]
    assert len(plain) == len(set(plain)), f"seed {seed}: doubled without saying so, see {service.data_dir}"
    found = service.transitions()
    assert len(found) == len(expected), f"seed {seed}: a transition was doubled, see {service.data_dir}"
    print(
        f"{kills} kills; {len(found)} transitions: 0 lost, 0 doubled; {len(broken)} failures: all told, "
        f"{len(inbox.posts) - len(plain)} repeats, all marked"
    )


def test_D1_D2_D3_M11_told_once_under_kills(sim: tuple[Simulator, str], service: Service, inbox: Inbox) -> None:
    """With the twelve failpoints, thirty kills in every run of the tests."""
    through_kills(sim[0], service, inbox, 18)


@pytest.mark.proof
def test_D1_D2_D3_M11_full_two_hundred_kills(sim: tuple[Simulator, str], service: Service, inbox: Inbox) -> None:
    through_kills(sim[0], service, inbox, 200)
