"""Each event that a rule may name, from what is observed to the message as it is read."""

from collections.abc import Callable
from typing import Any

import pytest

from pipemon.domain.deployments import Deployment
from pipemon.domain.diff import standing_event
from pipemon.domain.events import Event
from pipemon.domain.runs import Attempt, JobList
from pipemon.ingest.apply import Batch, Sighting, apply, tell
from pipemon.ingest.deployed import Deployed
from pipemon.notify.rules import EVENTS
from pipemon.store import rules
from tests.builders import a_deployment, a_job, a_run, a_step
from tests.notify.inbox import Inbox
from tests.notify.world import NOW, SHOP, World, titles

TIMES = {"created_at": NOW - 60, "started_at": NOW - 60, "updated_at": NOW}
RUN = a_run(id=7, run_number=7, repository=SHOP, head_repository=SHOP, branch="main", event="push", **TIMES)


def seen(world: World, **batch: Any) -> None:
    world.db.transact(lambda conn: apply(conn, Batch(1, 0, **batch), world.now))


def stands(status: str) -> Callable[[World], None]:
    run = a_run(id=7, run_number=7, repository=SHOP, head_repository=SHOP, branch="main", event="push",
                status=status, conclusion=None, **TIMES)  # fmt: skip
    return lambda world: seen(world, runs=(Sighting(run),))


def ends(*conclusions: str) -> Callable[[World], None]:
    def work(world: World) -> None:
        for conclusion in conclusions:
            world.end(conclusion)

    return work


def is_slow(world: World) -> None:
    for _ in range(25):
        world.end("success", historic=True)
        world.now += 60
    world.settle(2)
    world.end("success", created_at=int(world.now) - 300, started_at=int(world.now) - 300)


def a_job_fails(world: World) -> None:
    steps = (a_step(name="Run pytest", conclusion="failure"),)
    job = a_job(RUN, name="test (3.12)", conclusion="failure", steps=steps)
    seen(world, runs=(Sighting(RUN),), jobs=(JobList(RUN.id, 1, (job,), True),))


def deploys(*found: Deployment) -> Callable[[World], None]:
    return lambda world: seen(world, deployed=Deployed(found, {one.id: one.updated_at for one in found}))


def once(number: int, minutes: int, sha: str, *states: str) -> Deployment:
    return a_deployment(*states, id=number, created_at=NOW - minutes * 60, sha=sha * 40)


def stand(event_type: str, **more: object) -> Callable[[World], None]:
    attempt = Attempt(7, 1, "completed", NOW, conclusion="failure")
    return follows(standing_event(RUN, attempt, event_type, NOW, more))


def follows(event: Event) -> Callable[[World], None]:
    def work(world: World) -> None:
        world.end("failure", id=RUN.id, historic=True)  # what the event is about stands in the database
        world.db.transact(lambda conn: tell(conn, lambda _: [event], world.now))

    return work


BUDGET = {"remaining": 900, "limit": 5000, "reset_at": "2025-10-09T09:30:00Z"}
STORIES: dict[str, tuple[Callable[[World], None], str]] = {
    "build_queued": (stands("queued"), "CI is queued on main"),
    "build_started": (stands("in_progress"), "CI started on main"),
    "build_succeeded": (ends("success"), "CI succeeded on main"),
    "build_failed": (ends("failure"), "CI failed on main"),
    "build_timeout": (ends("timed_out"), "CI timed out on main"),
    "build_cancelled": (ends("cancelled"), "CI was cancelled on main"),
    "build_recovered": (ends("failure", "success"), "CI is repaired on main"),
    "build_still_failing": (ends("failure", "failure"), "CI still fails on main"),
    "build_slow": (is_slow, "CI took unusually long on main"),
    "build_overdue": (
        stand("build_overdue", running_seconds=900, p99_seconds=300), "CI runs for unusually long on main",
    ),
    "build_queued_too_long": (
        stand("build_queued_too_long", queued_seconds=960, labels=["gpu"]), "CI waits for a runner on main",
    ),
    "job_failed": (a_job_fails, "a job of CI failed on main"),
    "deployment_success": (deploys(once(1, 9, "a", "in_progress", "success")), "main was deployed to production"),
    "deployment_failed": (deploys(once(1, 9, "a", "failure")), "main could not be deployed to production"),
    "rollback_detected": (
        deploys(once(1, 50, "a", "success"), once(2, 40, "b", "success"), once(3, 9, "a", "success")),
        "production was rolled back",
    ),
    "budget_low": (follows(Event("budget_low", "pipeline", "", "b", NOW, data=BUDGET)), "few calls to GitHub are left"),
}  # fmt: skip


def test_there_is_a_story_of_each() -> None:
    assert set(STORIES) == set(EVENTS)


@pytest.mark.parametrize("name", STORIES)
def test_each_event_is_one_message(world: World, inbox: Inbox, name: str) -> None:
    work, title = STORIES[name]
    world.change_rule({"trigger_events": [name], "conditions": []})
    world.db.transact(lambda conn: rules.delete_rule(conn, 2))
    work(world)
    world.settle(5)
    assert [found.partition(" ")[2] for found in titles(inbox)] == [title]


def shown(inbox: Inbox) -> dict[str, str]:
    """Return the facts of the newest message."""
    fields = [field["text"] for block in inbox.posts[-1]["blocks"] for field in block.get("fields", ())]
    return {word.strip("*"): what for word, what in (field.split("\n", 1) for field in fields)}


def test_what_an_outage_has_hidden_says_since_when(world: World, inbox: Inbox) -> None:
    """Who asks for failures gets it, and the repair when it comes."""
    stand("build_still_failing", since="2025-10-09T05:00:00Z", failures=4)(world)
    world.settle(3)
    assert titles(inbox)[0] == "🔴 CI still fails on main"
    facts = shown(inbox)
    assert (facts["Since"], facts["Failures in a row"]) == ("2025-10-09 05:00:00 UTC", "4")
    assert "At" not in facts
    world.end("success")
    world.settle(3)
    assert titles(inbox)[1:] == ["🟢 CI is repaired on main"]


def test_a_failed_job_says_which(world: World, inbox: Inbox) -> None:
    world.change_rule({"trigger_events": ["job_failed"], "conditions": []})
    a_job_fails(world)
    world.settle(5)
    assert (shown(inbox)["Job"], shown(inbox)["Step"]) == ("test (3.12)", "Run pytest")


def test_what_waits_for_a_runner_says_for_which(world: World, inbox: Inbox) -> None:
    world.change_rule({"trigger_events": ["build_queued_too_long"], "conditions": []})
    STORIES["build_queued_too_long"][0](world)
    world.settle(5)
    assert (shown(inbox)["Waits for"], shown(inbox)["Runner"]) == ("16 min 0 s", "gpu")


def test_a_low_budget_says_how_low(world: World, inbox: Inbox) -> None:
    world.change_rule({"trigger_events": ["budget_low"], "conditions": []})
    STORIES["budget_low"][0](world)
    world.settle(5)
    assert shown(inbox) == {"Left": "900 of 5000", "Until": "2025-10-09 09:30:00 UTC"}
