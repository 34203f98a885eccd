"""The service dies at each named point between GitHub's answer and the record of the message: nothing is lost."""

import random
import re
import sqlite3
import time
from pathlib import Path

import pytest

from pipemon.simulator import Simulator
from tests.flows.conftest import SHOP
from tests.flows.service import PATIENCE_SECONDS, Service
from tests.notify.inbox import Inbox

CONFIG = Path(__file__).with_name("failing.conf.py")
POINTS = re.findall(r'^    "([a-z \']+)": \(', CONFIG.read_text(), re.MULTILINE)
LEASE_SECONDS = 30


def dies_at(service: Service, point: str, passes: int) -> bool:
    """Start the service with this failpoint; return whether it died there."""
    note = service.data_dir / "failpoint"
    note.unlink(missing_ok=True)
    armed = {"FAILPOINT": point, "FAILPOINT_PASSES": str(passes), "FAILPOINT_NOTE": str(note)}
    usual = service.settings, service.config
    service.settings, service.config = service.settings | armed, CONFIG
    service.start(wait=False)
    assert service.process is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while service.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    service.kill()
    service.settings, service.config = usual
    return note.exists() and note.read_text() == point


def through_every_point(world: Simulator, service: Service, inbox: Inbox, times: int, seed: int) -> str:
    """Let a branch of its own succeed and the service die, at each point so often; return what came of it."""
    words = random.Random(seed)
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    with sqlite3.connect(service.data_dir / "pipemon.sqlite3") as conn:
        # A success waits for no reason: each point is reached within a second or two.
        conn.execute("UPDATE notification_rules SET conditions = '[]', trigger_events = '[\"build_succeeded\"]'")
        conn.execute("UPDATE notification_state SET rules_revision = rules_revision + 1")
        conn.execute("DELETE FROM notification_rules WHERE id > 1")
    conn.close()
    service.kill()
    hits, run_ids = [], []
    for _ in range(times):
        for point in words.sample(POINTS, len(POINTS)):
            run_ids += world.add_runs(SHOP, seconds=1, branch=f"topic-{len(run_ids)}", event="push")
            # Of the first pages that are applied some tell nothing: any of them may be the one.
            passes = words.randrange(3) if "apply" in point and times > 1 else 0
            if dies_at(service, point, passes):
                hits.append(point)
    assert set(hits) == set(POINTS), f"seed {seed}: never hit: {set(POINTS) - set(hits)}"
    service.start()
    wanted = {f"topic-{number}" for number in range(len(run_ids))}

    def told() -> list[str]:
        return [post["blocks"][0]["text"]["text"] for post in inbox.posts]

    patience = LEASE_SECONDS + PATIENCE_SECONDS + 2 * len(run_ids)
    service.wait_for(lambda: {heading.rsplit(" on ", 1)[1] for heading in told()} == wanted, seconds=patience)
    service.wait_for(lambda: service.get("/api/v1/notifications/status").json()["pending_count"] == 0, patience)
    plain = [heading for heading in told() if not heading.startswith("(possible repeat)")]
    assert len(plain) == len(set(plain)), f"seed {seed}: a message was doubled without saying so"
    found = service.transitions()
    expected = {(run_id, name) for run_id in run_ids for name in ("build_queued", "build_started", "build_succeeded")}
    assert (len(found), set(found)) == (len(set(found)), expected), f"seed {seed}: see {service.data_dir}"
    attempts = f"{len(hits)} of {times * len(POINTS)} hits, {len(POINTS)} of {len(POINTS)} points"
    return f"{attempts}; {len(found)} transitions: 0 lost, 0 doubled; {len(run_ids)} messages: 0 lost, " + (
        f"{len(inbox.posts) - len(plain)} marked as possible repeats, 0 repeated unmarked"
    )


def test_D1_D2_D3_killed_at_every_failpoint(sim: tuple[Simulator, str], service: Service, inbox: Inbox) -> None:
    through_every_point(sim[0], service, inbox, 1, seed=1)


@pytest.mark.proof
def test_D1_D2_D3_full_ten_kills_at_every_failpoint(sim: tuple[Simulator, str], service: Service, inbox: Inbox) -> None:
    print(through_every_point(sim[0], service, inbox, 10, seed=2))
