"""Deliveries stretch polling, and their absence brings it back by itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipemon.ingest import told as telling
from pipemon.ingest.plan import Budget, Floors, Load, Pace, Plan, load_of, make_plan
from pipemon.ingest.poll import Poller
from pipemon.ingest.told import LATE_SECONDS, is_untold
from pipemon.store import repositories
from tests.builders import T0, a_run
from tests.ingest.conftest import SHOP, Story
from tests.ingest.hooked import Hooked

FLOORS = Floors(5, 60)
NOW = T0 + 1000


@pytest.fixture
def hooked(story: Story) -> Hooked:
    """A poller that listens to what is delivered."""
    found = Hooked(story)
    story.poller = Poller(story.deps, FLOORS, story.clock, told=found.told)
    story.tick()
    return found


def interval(story: Story) -> int | None:
    with story.db.read() as conn:
        return repositories.list_watched(conn)[0].interval_seconds


def lists_read(story: Story, seconds: int, hooked: Hooked) -> int:
    """Return how often the newest runs were asked for in that time."""
    before = story.sim.counters()["by_route"].get("GET runs", 0)
    hooked.live(seconds, poll=True)
    after: int = story.sim.counters()["by_route"]["GET runs"]
    return after - before


def test_polling_stretches_to_reconciling_while_deliveries_come(hooked: Hooked) -> None:
    story = hooked.story
    story.sim.add_runs(SHOP, seconds=0)
    hooked.live(70, poll=True)
    assert interval(story) == 60
    story.sim.add_runs(SHOP, seconds=0)
    assert lists_read(story, 120, hooked) <= 3 * 3
    assert story.poller.plan.why == "deliveries tell what changes in 1 of 1 repositories"


def test_without_them_it_is_read_at_the_floor(story: Story) -> None:
    story.tick()
    story.sim.add_runs(SHOP, seconds=0)
    story.tick(64)
    story.tick(6, times=4)
    assert interval(story) == 5


def test_W4_a_change_that_none_told_brings_polling_back(hooked: Hooked) -> None:
    story = hooked.story
    story.sim.add_runs(SHOP, seconds=0)
    hooked.live(70, poll=True)
    assert interval(story) == 60
    story.sim.hooks.aim(secret="made up", dropped=1.0)
    story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    hooked.live(130, poll=True)
    assert interval(story) == 5
    story.judge()
    # It comes back once nothing has been missing for a while.
    story.sim.hooks.aim(secret="made up")
    for _ in range(8):
        story.sim.add_runs(SHOP, seconds=30)
        hooked.live(100, poll=True)
    assert interval(story) == 60
    story.judge()


def test_polls_that_find_nothing_untold_keep_it_stretched(hooked: Hooked) -> None:
    """Deliveries that are some seconds late, as GitHub's are, are not missing."""
    story = hooked.story
    story.sim.hooks.aim(secret="made up", delay_seconds=12)
    for _ in range(6):
        story.sim.add_runs(SHOP, count=2, seconds=25)
        hooked.live(45, poll=True)
    assert interval(story) == 60


def test_a_quiet_repository_that_begins_to_move_is_reconciled_sooner(hooked: Hooked) -> None:
    story = hooked.story
    (run,) = story.sim.add_runs(SHOP, seconds=20)
    hooked.live(500, poll=True)
    assert interval(story) == 300
    (run,) = story.sim.add_runs(SHOP, seconds=10)
    hooked.live(90, poll=True)
    assert interval(story) == 60
    assert story.run(run).duration_source == "jobs"


def test_both_kinds_are_needed(hooked: Hooked) -> None:
    hooked.told.note(1, "workflow_run")
    hooked.told.note(1, "deployment")
    assert not hooked.told.holds(1)
    hooked.told.note(1, "workflow_job")
    assert hooked.told.holds(1)
    assert not hooked.told.holds(2)


def test_trust_ends_an_hour_after_the_last_delivery(hooked: Hooked) -> None:
    for event in telling.NEEDED:
        hooked.told.note(1, event)
    hooked.story.now += telling.TRUST_SECONDS - 1
    assert hooked.told.holds(1)
    hooked.story.now += 1
    assert not hooked.told.holds(1)


UNTOLD: list[tuple[str, object, object, bool]] = [
    ("a run that nobody told of", a_run(id=1, updated_at=T0), None, True),
    ("one that has just begun", a_run(id=1, updated_at=NOW - LATE_SECONDS + 1), None, False),
    ("what is known", a_run(id=1), a_run(id=1), False),
    ("an end", a_run(id=1), a_run(id=1, status="in_progress"), True),
    ("a start", a_run(id=1, status="in_progress"), a_run(id=1, status="queued"), True),
    ("a step back", a_run(id=1, status="waiting"), a_run(id=1, status="queued"), False),
    ("a status that is never told", a_run(id=1, status="queued"), a_run(id=1, status="requested"), False),
    ("an older state", a_run(id=1, status="in_progress"), a_run(id=1), False),
    ("the end of a rerun", a_run(id=1, run_attempt=2), a_run(id=1), True),
]


@pytest.mark.parametrize(("what", "seen", "stored", "untold"), UNTOLD, ids=[row[0] for row in UNTOLD])
def test_what_should_have_been_told(what: str, seen: object, stored: object, untold: bool) -> None:
    assert is_untold(seen, stored, NOW) == untold  # type: ignore[arg-type]


def test_what_waits_to_be_applied_is_not_missing() -> None:
    seen = a_run(id=1, updated_at=NOW - 100)
    assert is_untold(seen, None, NOW)
    assert not is_untold(seen, None, NOW, behind_seconds=100)


def test_the_plan_reads_told_repositories_less(hooked: Hooked) -> None:
    paces = [Pace(active=True, told=True, unfinished=2), Pace(active=False, told=True), Pace(active=True)]
    load = load_of(paces, 0.1)
    assert (load.active, load.idle, load.unfinished) == (1, 0, 0)
    assert (load.told_active, load.told_idle, load.told_unfinished) == (1, 1, 2)
    plan = make_plan(load, Budget(), FLOORS)
    assert [plan.interval(pace) for pace in paces] == [60, 300, 5]
    assert plan.of(paces[0]).detail_seconds == 180
    assert plan.why == "deliveries tell what changes in 2 of 3 repositories"


def test_500_told_repositories_need_no_stretch_that_500_others_do() -> None:
    polled = make_plan(Load(active=20, idle=480, unfinished=40), Budget(), FLOORS)
    told = make_plan(Load(0, 0, 0, told_active=20, told_idle=480, told_unfinished=40), Budget(), FLOORS)
    assert polled.idle_seconds > 60
    assert told.told == replace(Plan(60, 300, 180), why="deliveries tell what changes in 500 of 500 repositories")


def test_the_budget_stretches_told_ones_too() -> None:
    plan = make_plan(Load(0, 0, 0, told_active=50, told_idle=450), Budget(left=100), FLOORS)
    assert plan.told is not None
    assert plan.told.active_seconds > 60
    assert "GitHub's budget" in (plan.why or "")


def test_floors_that_are_long_stay_floors() -> None:
    assert Floors(5, 60).told == Floors(60, 300)
    assert Floors(100, 100).told.active_seconds == 100


def test_a_repository_of_which_nothing_is_delivered_is_not_stretched(new_story: Callable[..., Story]) -> None:
    story = new_story()
    story.tick()
    story.sim.add_runs(SHOP, seconds=0)
    story.tick(64)
    story.tick(6, times=3)
    assert story.poller.plan.why is None
