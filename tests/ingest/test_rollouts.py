"""Deployments read from the simulator: verdicts right, calls few, and no permission is no wait."""

from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.simulator import Simulator
from pipemon.store.schema import events
from pipemon.store.schema_deployments import deployment_reads, deployments
from tests.ingest.conftest import SHOP, Story


def verdicts(story: Story) -> list[tuple[str, str | None, int | None]]:
    table = deployments.c
    columns = (table.environment, table.kind, table.blamed_id)
    return [tuple(row) for row in story.rows(sa.select(*columns).order_by(table.finished_at, table.id))]


def commits(story: Story, *messages: str) -> list[str]:
    """Push so many commits to main, a minute apart; return their hashes."""
    shas = []
    for message in messages:
        (run_id,) = story.sim.add_runs(SHOP, seconds=10, branch="main", event="push", message=message)
        shas.append(story.sim.repositories["shop"].runs[run_id].sha)
        story.now += 60
    return shas


def settle(story: Story) -> None:
    """Let time pass until all that moved was read."""
    story.tick(400, times=3)


def test_a_bad_deploy_and_its_rollback(story: Story) -> None:
    good, bad = commits(story, "Add a door", "Add a trap")
    settle(story)
    ids = []
    for sha in (good, bad, good):
        ids.append(story.sim.deploy(SHOP, sha))
        story.tick(400)
    settle(story)
    assert verdicts(story) == [("production", "first", None), ("production", "change", None),
                               ("production", "rollback", ids[1])]  # fmt: skip
    told = story.rows(sa.select(events.c.type, events.c.historic).where(events.c.topic == "pipeline"))
    told = [row for row in told if row.type != "pipeline_updated"]
    assert [row.type for row in told] == ["deployment_success"] * 3 + ["rollback_detected"]
    assert not any(row.historic for row in told)


def test_commits_of_a_deployment_are_read_once(story: Story) -> None:
    first, second, third = commits(story, "One", "Two", "Three")
    for sha in (first, third):
        story.sim.deploy(SHOP, sha)
        story.now += 100
    settle(story)
    (row,) = story.rows(sa.select(deployments).where(deployments.c.sha == third))
    assert (row.comparison, row.ahead_by, row.compared_with) == ("ahead", 2, first)
    assert [sha in row.commits for sha in (first, second, third)] == [False, True, True]
    asked = called(story.sim, "compare")
    settle(story)
    assert called(story.sim, "compare") == asked == 1


def test_an_older_commit_that_was_never_live_here_is_a_rollback(story: Story) -> None:
    old, new = commits(story, "One", "Two")
    for sha in (new, old):
        newest = story.sim.deploy(SHOP, sha)
        story.now += 100
    settle(story)
    assert newest
    assert [kind for _, kind, _ in verdicts(story)] == ["first", "rollback"]


def called(sim: Simulator, what: str) -> int:
    return sum(count for name, count in sim.counters()["by_route"].items() if what in name)


def test_idle_costs_no_counted_call(story: Story) -> None:
    (sha,) = commits(story, "One")
    story.sim.deploy(SHOP, sha)
    settle(story)
    before, limit = called(story.sim, "deployment"), story.github.counts.counted
    story.tick(60, times=60)
    assert 0 < called(story.sim, "deployment") - before <= 12
    assert story.github.counts.counted - limit <= 1  # the hourly look at the repository itself


@pytest.mark.parametrize("status", [403, 404])
def test_G4_no_permission_for_deployments_is_no_wait(story: Story, status: int) -> None:
    body: dict[str, Any] = {"message": "Resource not accessible by personal access token"}
    story.sim.order_fault("status", status=status, body=body, route="/deployments", times=None)
    (run_id,) = story.sim.add_runs(SHOP, seconds=10)
    settle(story)
    ((why, filled_at),) = story.rows(sa.select(deployment_reads.c.error, deployment_reads.c.filled_at))
    assert why and filled_at is None
    assert story.run(run_id).conclusion == "success"
    assert called(story.sim, "deployment") == 1  # and not again within the hour
    story.sim.clear_faults()
    story.tick(1800, times=3)
    ((why, filled_at),) = story.rows(sa.select(deployment_reads.c.error, deployment_reads.c.filled_at))
    assert why is None and filled_at is not None
