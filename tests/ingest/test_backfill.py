"""History: complete below GitHub's cap, resumable at any point, and honest about what it could not read."""

import random
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pipemon.domain.coverage import Range
from pipemon.ingest import backfill
from pipemon.ingest.backfill import progress
from pipemon.store import coverage, repositories, runs
from pipemon.store.schema import attempts, events
from tests.ingest.conftest import SHOP, Story


def true_ids(story: Story, since: int) -> set[int]:
    return {run["id"] for run in story.sim.truth(SHOP) if run["created_at"] >= since}


def test_all_history_with_every_attempt_and_job_is_read_and_is_not_news(new_story: Callable[..., Story]) -> None:
    story = new_story("test", scale=0.2)
    story.tick()
    story.fill()
    since = int(story.now) - 30 * 86400
    assert story.run_ids() >= true_ids(story, since)
    story.judge(since=since)
    assert {bool(row[0]) for row in story.rows(sa.select(events.c.historic))} == {True}
    with story.db.read() as conn:
        (done,) = progress(conn, 30, int(story.now))
        (repo,) = repositories.list_watched(conn)
        assert runs.list_wanting(conn, repo.id, 10) == []
    assert done.complete
    assert done.read_seconds == done.wanted_seconds
    sources = {row[0] for row in story.rows(sa.select(attempts.c.duration_source))}
    assert sources >= {"jobs"}


def test_a_second_backfill_reads_nothing(new_story: Callable[..., Story]) -> None:
    story = new_story("test", scale=0.1)
    story.tick()
    story.fill()
    story.restart()
    story.sim.reset_counters()
    story.fill()
    assert story.sim.counters()["calls"] == 0


def test_G13_a_day_beyond_the_cap_is_split_until_all_is_found(
    new_story: Callable[..., Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "CAP", 40)
    monkeypatch.setattr("pipemon.simulator.routes.LIST_CAP", 40)
    story = new_story()
    ids = set()
    for hour in range(12):
        story.now += 3600
        ids |= set(story.sim.add_runs(SHOP, count=random.Random(hour).randint(1, 30), seconds=30))
    story.now += 86400
    story.tick()
    story.fill()
    assert story.run_ids() == ids
    with story.db.read() as conn:
        assert all(part.complete for part in coverage.list_ranges(conn, 1))


def test_G13_what_even_the_shortest_window_hides_is_said(
    new_story: Callable[..., Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "CAP", 20)
    monkeypatch.setattr("pipemon.simulator.routes.LIST_CAP", 20)
    story = new_story()
    ids = story.sim.add_runs(SHOP, count=60, seconds=30)
    story.now += 7200
    story.sim.add_runs(SHOP, count=35, seconds=30)
    story.now += 7200
    story.tick()
    story.fill()
    assert len(story.run_ids() & set(ids)) < 60
    with story.db.read() as conn:
        assert not all(part.complete for part in coverage.list_ranges(conn, 1))
        assert not progress(conn, 30, int(story.now))[0].complete


def dying(read: Callable[..., object], calls: int) -> Callable[..., object]:
    """Return the read that dies at its n-th call: after GitHub answered, before anything of it was stored."""
    left = [calls]

    def call(*args: object, **options: object) -> object:
        page = read(*args, **options)
        left[0] -= 1
        if left[0] == 0:
            raise SystemExit
        return page

    return call


def a_month_of_runs(new_story: Callable[..., Story]) -> Story:
    story = new_story()
    rng = random.Random(5)
    for _ in range(60):
        story.now += 12 * 3600
        story.sim.add_runs(SHOP, count=rng.randint(10, 80), seconds=30)
    story.now += 3600
    story.tick()
    story.sim.reset_counters()
    return story


def test_G18_twenty_kills_cost_at_most_one_page_each(new_story: Callable[..., Story]) -> None:
    untroubled = a_month_of_runs(new_story)
    untroubled.fill_pages()
    story = a_month_of_runs(new_story)
    rng, kills = random.Random(6), 0
    while True:
        if kills < 20:
            story.github.runs_created = dying(story.github.runs_created, rng.randint(1, 2))  # type: ignore[method-assign,assignment]
        try:
            story.fill_pages()
            break
        except SystemExit:
            kills += 1
            story.restart()
    assert kills == 20
    assert story.run_ids() == untroubled.run_ids() >= true_ids(story, int(story.now) - 29 * 86400)
    pages, needed = (s.sim.counters()["by_route"]["GET runs"] for s in (story, untroubled))
    assert pages <= needed + kills


def test_a_gap_of_a_downtime_is_found_and_filled(story: Story) -> None:
    story.tick(times=2)
    story.fill()
    made = set()
    for _ in range(9):
        story.now += 3600
        made |= set(story.sim.add_runs(SHOP, count=20, seconds=30))
    story.restart()
    story.now += 7200
    story.tick(times=2)
    story.fill()
    assert story.run_ids() == made
    with story.db.read() as conn:
        (whole,) = coverage.list_ranges(conn, 1)
    assert whole == Range(0, whole.to_at)
    story.judge()


def test_budget_that_is_kept_for_polling_is_not_spent_on_history(new_story: Callable[..., Story]) -> None:
    story = new_story("test", scale=0.3, rate_limit=100)
    story.tick()
    with pytest.raises(backfill.LimitReached):
        story.fill()
    assert story.sim.counters()["counted"] <= 60
    story.tick(64, times=3)
    assert story.sim.counters()["forbidden"] == 0
