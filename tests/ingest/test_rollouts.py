"""Deployments read from the simulator: verdicts right, calls few, and no permission is no wait."""

from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain.deployments import Deploying
from pipemon.health import _github_health
from pipemon.ingest.plan import Floors
from pipemon.ingest.poll import Poller
from pipemon.ingest.rollouts import Rollouts
from pipemon.simulator import Simulator
from pipemon.store import deployments as stored
from pipemon.store.schema import events
from pipemon.store.schema_deployments import deployment_reads, deployments
from tests.ingest.conftest import SHOP, Story

DEPLOYMENT_EVENTS = ("deployment_success", "deployment_failed", "rollback_detected")
DEPLOY = 0  # a workflow whose runs the simulator tells of as runs only


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


@pytest.fixture
def by_runs(story: Story) -> Story:
    """A repository that tells GitHub of no deployments, and deploys by a workflow."""
    deploying = Deploying(("ci*",))
    story.poller = Poller(
        story.deps, Floors(5, 60), story.clock, rollouts=Rollouts(story.deps, story.clock, deploying=deploying)
    )
    return story


def deploy_by_run(story: Story, *messages: str, **pinned: Any) -> list[int]:
    """Let the workflow that deploys run once for each message, one after the other."""
    found = []
    for message in messages:
        more: dict[str, Any] = {"workflow": DEPLOY, "branch": "main", "event": "push", "seconds": 30} | pinned
        found += story.sim.add_runs(SHOP, message=message, **more)
        story.tick(400)
    settle(story)
    return found


def test_runs_stand_in_where_github_knows_of_no_deployments(by_runs: Story) -> None:
    good, bad = deploy_by_run(by_runs, "Add a door", "Add a trap")
    sha = by_runs.sim.repositories["shop"].runs[good].sha
    (again,) = deploy_by_run(by_runs, "Add a door", sha=sha)
    found = by_runs.rows(sa.select(deployments).order_by(deployments.c.id))
    assert [(row.id, row.kind, row.source) for row in found] == [
        (good, "first", "workflow"), (bad, "change", "workflow"), (again, "rollback", "workflow"),
    ]  # fmt: skip
    assert found[2].blamed_id == bad
    told = by_runs.rows(sa.select(events.c.type).where(events.c.type.in_(DEPLOYMENT_EVENTS)))
    # Of success and failure the run's own events tell.
    assert [row.type for row in told] == ["rollback_detected"]
    assert called(by_runs.sim, "statuses") == 0


def test_a_failed_deploy_and_its_rerun(by_runs: Story) -> None:
    (run_id,) = deploy_by_run(by_runs, "Add a trap", conclusion="failure")
    (row,) = by_runs.rows(sa.select(deployments))
    assert (row.id, row.state, row.deployed_at) == (run_id, "failure", None)
    by_runs.sim.order("rerun", SHOP, run=run_id, seconds=20, conclusion="success")
    by_runs.tick(400, times=3)
    (row,) = by_runs.rows(sa.select(deployments))
    assert row.state == "success"
    assert row.failed_at < row.deployed_at


def test_runs_of_other_branches_and_workflows_deploy_nothing(by_runs: Story) -> None:
    deploy_by_run(by_runs, "On a topic", branch="topic")
    deploy_by_run(by_runs, "Of a pull request", event="pull_request")
    assert by_runs.rows(sa.select(deployments)) == []
    deploying = Deploying(("other*",))
    by_runs.poller._rollouts = Rollouts(by_runs.deps, by_runs.clock, deploying=deploying)
    deploy_by_run(by_runs, "Only a test")
    assert by_runs.rows(sa.select(deployments)) == []


def test_they_stand_down_when_github_knows_of_deployments(by_runs: Story) -> None:
    deploy_by_run(by_runs, "Add a door")
    (sha,) = commits(by_runs, "Another")
    by_runs.sim.deploy(SHOP, sha)
    settle(by_runs)
    assert [row.source for row in by_runs.rows(sa.select(deployments))] == ["github"]
    deploy_by_run(by_runs, "Once more")
    assert [row.source for row in by_runs.rows(sa.select(deployments))] == ["github"]


def test_a_token_that_may_not_read_deployments_has_the_runs(by_runs: Story) -> None:
    by_runs.sim.order_fault("status", route="/deployments", status=403, times=None, body={"message": "no"})
    deploy_by_run(by_runs, "Add a door")
    assert [row.kind for row in by_runs.rows(sa.select(deployments))] == ["first"]


def test_G4_who_may_not_read_deployments_is_told_in_health(story: Story) -> None:
    body = {"message": "Resource not accessible by personal access token"}
    story.sim.order_fault("status", route="/deployments", status=403, times=None, body=body)
    settle(story)
    with story.db.read() as conn:
        ((name, why),) = stored.list_troubles(conn)
    assert name == SHOP
    assert "lacks" in why
    found = _github_health(story.github, [(SHOP, None)], [(name, why)])
    assert found["state"] == "healthy"
    assert "deployments of 1 repositories not read" in str(found["cause"])
