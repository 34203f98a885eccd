"""Reading GitHub: nothing is lost, invented or claimed, whatever it answers."""

from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.github.errors import BudgetSpent
from pipemon.store import repositories
from pipemon.store.schema import events
from tests.ingest.conftest import SHOP, Story

NOT_FOUND = {"status": 404, "body": {"message": "Not Found"}, "times": None}


def only_repository(story: Story) -> repositories.Watched:
    with story.db.read() as conn:
        return repositories.list_watched(conn)[0]


def test_I9_a_token_that_lost_its_scope_ends_no_reading_of_jobs(story: Story) -> None:
    ids = story.sim.add_runs(SHOP, count=5, seconds=10)
    story.now += 100_000
    story.tick()
    story.sim.order_fault("status", route="/repos/octo-harbor/shop", **NOT_FOUND)
    for _ in range(10):
        story.backfill.step()
        story.now += 61
    story.sim.clear_faults()
    story.now += 100
    for _ in range(10):
        story.backfill.step()
        story.now += 61
    assert [story.jobs_of(run_id, 1) for run_id in ids] == [2] * 5


def test_I9_absence_from_a_list_and_one_404_are_not_two_404s(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=10)
    story.tick(64, times=3)
    repo = only_repository(story)
    story.sweep._suspect(repo, 0, int(story.now), set())  # the index did not show it
    story.sim.order_fault("status", route=f"/runs/{run_id}", status=404, body={"message": "Not Found"}, times=1)
    story.tick(64)
    assert story.run(run_id).deleted_at is None


def test_the_backfill_makes_no_history_of_what_has_just_happened(story: Story) -> None:
    story.tick(times=2)
    (run_id,) = story.sim.add_runs(SHOP, seconds=0)
    story.tick()
    story.sim.order("finish", SHOP, run=run_id, conclusion="failure")
    story.now += 6
    # The two jobs of the clock run beside each other: here the history's step comes between two reads of the poller.
    story.poller._read_newest(only_repository(story))
    story.fill()
    story.poller.tick()
    rows = story.rows(sa.select(events.c.type, events.c.historic).where(events.c.type == "job_failed"))
    assert [bool(row.historic) for row in rows] == [False]


def test_an_unreadable_run_does_not_hold_up_the_others(story: Story) -> None:
    story.tick()
    first, second = sorted(story.sim.add_runs(SHOP, count=2, seconds=100_000))
    # GitHub answers, and the answer can't be believed: no breaker, no limit is in play.
    story.sim.order_fault("status", route=f"/runs/{first}$", status=200, body={"id": "?"}, times=None)
    story.tick(300, times=10)
    assert story.jobs_of(second, 1) > 0


def test_an_attempt_whose_jobs_cannot_be_read_does_not_hold_up_the_others(story: Story) -> None:
    ids = sorted(story.sim.add_runs(SHOP, count=4, seconds=10))
    story.now += 100_000
    story.tick()
    story.sim.order_fault("status", route=f"/runs/{ids[-1]}/attempts/1/jobs", status=200, body={"jobs": 3}, times=None)
    for _ in range(40):
        story.backfill.step()
        story.now += 30
    assert [story.jobs_of(run_id, 1) for run_id in ids[:-1]] == [2, 2, 2]


def test_G17_a_rename_is_noticed_while_running(story: Story) -> None:
    story.tick(times=2)
    story.sim.order("rename", SHOP, name="store")
    story.sim.add_runs(SHOP, seconds=10, conclusion="failure")
    story.tick(600, times=20)
    with story.db.read() as conn:
        current = conn.execute(sa.text("SELECT current_name FROM repositories")).scalar_one()
    assert current == "octo-harbor/store"


def test_a_window_that_a_limit_refused_is_not_counted_as_swept(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.tick()
    story.sim.add_runs(SHOP, count=5, seconds=10)
    story.tick(64, times=3)
    story.now += 3700
    real = story.github.runs_created
    asked: list[int] = []
    refused: list[int] = []

    def runs_created(repo: str, from_at: int, to_at: int, **options: Any) -> Any:
        asked.append(from_at)
        if not refused:
            refused.append(from_at)
            raise BudgetSpent(0, "kept")
        return real(repo, from_at, to_at, **options)

    monkeypatch.setattr(story.github, "runs_created", runs_created)
    story.sweep_all()
    story.now += 70
    story.sweep_all()
    assert only_repository(story).swept_at is not None
    assert asked.count(refused[0]) == 2
