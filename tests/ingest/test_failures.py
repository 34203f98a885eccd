"""Why jobs failed: read once, masked, the same word for the same reason; and nothing that stops at a log."""

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain.addresses import Allowed
from pipemon.github.logs import Logs
from pipemon.ingest import failures as reading
from pipemon.ingest.failures import FORBIDDEN_SECONDS, MOST_TRIES, Failures
from pipemon.outbound.client import Outbound
from pipemon.store.failures import MOST_GREEN, MOST_OF_A_RUN
from pipemon.store.schema_failures import failures, green_logs
from tests.ingest.conftest import SHOP, Story

LOOPBACK = Outbound(Allowed.of(["127.0.0.1", "localhost"]))
CANARIES = (
    "ghp_" + "C" * 36,
    "ghs_12345_eyJhbGciOiJSUzI1NiJ9.abcdefghijkl.mnopqrstuvwx",
    "https://hooks.slack.com/services/T000/B000/canarycanary",
    "https://user:canary-word@host.example/x",
    "AKIA" + "CANARY7" * 2 + "XY",
    "password=canary-pass-word",
    "MIIEcanarycanarycanarycanarycanarycanarycanary",
    "xoxb-123456789012-canarycanary",
)


def reader(story: Story, outbound: Outbound = LOOPBACK) -> Failures:
    return Failures(story.deps, Logs(story.github.transport), outbound, story.clock)


def fail(story: Story, *prints: str, **pinned: Any) -> int:
    """Let a run fail, with these lines in its log, and read it; return its id."""
    (run_id,) = story.sim.add_runs(SHOP, seconds=30, conclusion="failure", **pinned)
    runs = story.sim.repositories["shop"].runs
    runs[run_id] = replace(runs[run_id], prints=prints)
    story.tick(60, times=3)
    return run_id


def rows(story: Story, run_id: int) -> list[Any]:
    return story.rows(sa.select(failures).where(failures.c.run_id == run_id))


def called(story: Story) -> int:
    return sum(count for route, count in story.sim.counters()["by_route"].items() if "logs" in route)


def settle(story: Story, failed: Failures) -> None:
    while failed.step():
        pass


def test_a_failed_job_is_explained(story: Story) -> None:
    run_id = fail(story, "FAILED tests/test_basket.py::test_total - assert 3 == 7")
    settle(story, reader(story))
    (row,) = rows(story, run_id)
    assert (row.state, row.step, row.step_number, row.platform) == ("read", "Test", 4, False)
    assert row.title == "FAILED tests/test_basket.py::test_total - assert 3 == 7"
    kept = json.loads(row.lines)
    assert [line[3] for line in kept][-1] == "Process completed with exit code 1."
    assert all("\x1b" not in line[3] for line in kept)
    assert not [line for line in kept if "Current runner version" in line[3]]  # another step's


def test_the_same_reason_has_one_name_on_all_branches_and_runs(story: Story) -> None:
    one = fail(story, "Error: connect ECONNREFUSED 127.0.0.1:5432", branch="main")
    other = fail(story, "Error: connect ECONNREFUSED 10.0.0.7:9999", branch="topic")
    third = fail(story, "Error: something else")
    settle(story, reader(story))
    found = [rows(story, run_id)[0].signature for run_id in (one, other, third)]
    assert found[0] == found[1] != found[2]


def test_each_log_is_read_once(story: Story) -> None:
    fail(story, "Error: once")
    failed = reader(story)
    settle(story, failed)
    before = called(story)
    story.tick(60, times=3)
    settle(story, reader(story))
    assert called(story) == before == 1


def test_no_secret_is_stored(story: Story) -> None:
    key = ("-----BEGIN RSA PRIVATE KEY-----", CANARIES[6], "-----END RSA PRIVATE KEY-----")
    run_id = fail(story, *(f"Error: it said {text}" for text in CANARIES if text != CANARIES[6]), *key)
    settle(story, reader(story))
    (row,) = rows(story, run_id)
    text = f"{row.title} {row.lines}"
    assert row.state == "read"
    assert "Error: it said" in text
    assert "canary" not in text.lower(), text
    assert "C" * 36 not in text


def test_what_green_runs_print_too_is_no_reason(story: Story) -> None:
    (green,) = story.sim.add_runs(SHOP, seconds=30, conclusion="success")
    runs = story.sim.repositories["shop"].runs
    runs[green] = replace(runs[green], prints=("Error: retrying in 1 s",))
    story.tick(60, times=3)
    run_id = fail(story, "Error: retrying in 9 s", "fatal: the door is gone")
    settle(story, reader(story))
    (row,) = rows(story, run_id)
    assert row.title == "fatal: the door is gone"
    # The next failure of that day needs no further log.
    before = called(story)
    fail(story, "fatal: again")
    settle(story, reader(story))
    assert called(story) == before + 1


def test_few_green_logs_are_remembered(story: Story) -> None:
    failed = reader(story)
    for _ in range(MOST_GREEN + 2):
        story.sim.add_runs(SHOP, seconds=30, conclusion="success")
        story.tick(60, times=3)
        fail(story, "Error: it broke")
        settle(story, failed)
        story.tick(86_500)
    names = [row.name for row in story.rows(sa.select(green_logs))]
    assert len(names) == MOST_GREEN


def test_an_expired_log_is_not_asked_for_again(story: Story) -> None:
    story.sim.order_fault("status", route="/logs", times=None, status=410)
    run_id = fail(story, "Error: too late")
    settle(story, reader(story))
    assert rows(story, run_id)[0].state == "expired"


def test_a_log_that_is_not_there_yet_is_asked_for_again(story: Story) -> None:
    story.sim.order_fault("status", route="/logs", times=2, status=404)
    run_id = fail(story, "Error: a little late")
    failed = reader(story)
    for _ in range(3):
        failed.step()
        story.now += 30
    assert rows(story, run_id)[0].title == "Error: a little late"


def test_and_given_up_in_the_end(story: Story) -> None:
    story.sim.order_fault("status", route="/logs", times=None, status=404)
    run_id = fail(story, "Error: never")
    failed = reader(story)
    for _ in range(MOST_TRIES + 3):
        failed.step()
        story.now += 100_000
    assert rows(story, run_id)[0].state == "missing"
    assert called(story) == MOST_TRIES


def test_a_token_that_may_not_read_logs_is_no_wait_for_others(story: Story) -> None:
    """G4: asked once an hour, not at every round."""
    story.sim.order_fault("status", route="/logs", times=None, status=403, body={"message": "Resource not accessible"})
    run_id = fail(story, "Error: hidden")
    failed = reader(story)
    for _ in range(5):
        failed.step()
        story.now += 60
    assert called(story) == 1
    story.sim.clear_faults()
    story.now += FORBIDDEN_SECONDS
    settle(story, failed)
    assert rows(story, run_id)[0].title == "Error: hidden"


def test_a_log_elsewhere_is_not_fetched(story: Story) -> None:
    """L6: only a public address, or one that OUTBOUND_ALLOW names."""
    run_id = fail(story, "Error: inside")
    failed = reader(story, Outbound(Allowed()))
    for _ in range(MOST_TRIES):
        failed.step()
        story.now += 100_000
    assert rows(story, run_id)[0].state == "unreadable"


def test_of_a_run_with_many_failed_jobs_some_are_read(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipemon.store.failures.MOST_OF_A_RUN", 0)
    run_id = fail(story, "Error: one of many")
    settle(story, reader(story))
    assert [row.state for row in rows(story, run_id)] == ["left_out"]
    assert MOST_OF_A_RUN > 0


def test_a_huge_log_takes_no_memory(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1, L3: the end of what may be read is an end like any other."""
    monkeypatch.setattr(reading, "MOST_BYTES", 100)
    run_id = fail(story, "Error: x" * 1000)
    failed = reader(story)
    for _ in range(MOST_TRIES):
        failed.step()
        story.now += 100_000
    assert rows(story, run_id)[0].state == "unreadable"


def test_history_is_left_alone(story: Story) -> None:
    """A log of last month costs a call and tells nobody anything new."""
    (run_id,) = story.sim.add_runs(SHOP, seconds=30, conclusion="failure", created_offset=-20 * 86400)
    story.tick(60, times=3)
    story.fill()
    assert story.jobs_of(run_id, 1)
    assert rows(story, run_id) == []


def test_the_newest_is_read_next(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails while older ones are read does not wait for them: its message waits for it."""
    older = [fail(story, f"Error: old {word}") for word in ("one", "two", "three")]
    failed, read, late = reader(story), [], []
    explain = failed._explain

    def watch(wanted: Any) -> None:
        read.append(wanted.run_id)
        if len(read) == 1:
            late.append(fail(story, "Error: just now"))
        explain(wanted)

    monkeypatch.setattr(failed, "_explain", watch)
    failed.step()
    assert read == [older[2], late[0], older[1], older[0]]
