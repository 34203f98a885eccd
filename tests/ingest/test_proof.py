"""The full figures of FAULTS for reading GitHub: `make proof`. Their small forms are in test_poll and test_backfill."""

import random
from collections.abc import Callable

import pytest

from pipemon.store import coverage
from tests.ingest.conftest import SHOP, Story
from tests.ingest.test_backfill import dying

pytestmark = pytest.mark.proof


def test_G1_five_hundred_polls_with_a_third_of_errors(new_story: Callable[..., Story]) -> None:
    def live(story: Story, probability: float) -> int:
        story.tick()
        story.sim.order_fault("status", status=502, probability=probability, times=None)
        rng, made = random.Random(3), []
        for _ in range(500):
            if rng.random() < 0.2:
                made += story.sim.add_runs(
                    SHOP, seconds=rng.randint(5, 90), conclusion=rng.choice(["success", "failure"])
                )
            story.tick(20)
        story.sim.clear_faults()
        story.tick(1000, times=4)
        assert story.run_ids() == set(made)
        story.judge()
        calls: int = story.sim.counters()["calls"]
        return calls

    untroubled = live(new_story(rate_limit=100_000), 0)
    assert live(new_story(rate_limit=100_000), 0.3) <= 1.5 * untroubled


def test_G2_a_hundred_episodes_with_restarts_in_half_of_them(story: Story) -> None:
    rng = random.Random(2)
    story.tick(times=2)
    for _ in range(100):
        if rng.random() < 0.5:
            wait = {"Retry-After": str(rng.randint(30, 200))} if rng.random() < 0.7 else {}
            story.sim.order_fault(
                "status",
                status=rng.choice([403, 429]),
                headers=wait,
                body={"message": "You have exceeded a secondary rate limit"},
            )
        else:
            story.sim.exhaust()
        for _ in range(rng.randint(10, 60)):
            story.tick(rng.choice([5, 20, 64]))
            if rng.random() < 0.05:
                story.restart()
    assert story.sim.counters()["forbidden"] == 0


def test_G12_five_thousand_runs_while_pages_shift(new_story: Callable[..., Story]) -> None:
    story = new_story(rate_limit=1_000_000)
    rng, made = random.Random(12), set()
    story.tick(times=2)
    real = story.github.runs_at

    def shifting(*args: object, **options: object) -> object:
        made.update(story.sim.add_runs(SHOP, count=rng.randint(1, 50), seconds=20))
        return real(*args, **options)  # type: ignore[arg-type]

    story.github.runs_at = shifting  # type: ignore[method-assign,assignment]
    while len(made) < 5000:
        made.update(story.sim.add_runs(SHOP, count=rng.randint(1, 50), seconds=20))
        story.tick(64)
    story.github.runs_at = real  # type: ignore[method-assign]
    story.tick(64, times=2)
    while story.backfill.step():
        pass
    assert story.run_ids() == made
    story.judge()


def test_G13_ten_thousand_runs_in_a_day(new_story: Callable[..., Story]) -> None:
    story = new_story(rate_limit=1_000_000)
    rng, made = random.Random(13), set()
    while len(made) < 10_000:
        story.now += rng.randint(1, 15)
        made.update(story.sim.add_runs(SHOP, seconds=30))
    story.now += 86400
    story.tick()
    story.fill_pages()
    assert story.run_ids() == made
    with story.db.read() as conn:
        assert all(part.complete for part in coverage.list_ranges(conn, 1))


def test_G18_fifty_thousand_runs_with_twenty_kills(new_story: Callable[..., Story]) -> None:
    def fill(story: Story, kills: int) -> int:
        rng = random.Random(18)
        for _ in range(500):
            story.now += 5000
            story.sim.add_runs(SHOP, count=100, seconds=30)
        story.now += 3600
        story.tick()
        story.sim.reset_counters()
        left = kills
        while True:
            if left:
                story.github.runs_created = dying(story.github.runs_created, rng.randint(1, 25))  # type: ignore[method-assign,assignment]
            try:
                story.fill_pages()
                break
            except SystemExit:
                left -= 1
                story.restart()
        assert left == 0
        assert len(story.run_ids()) >= 50_000 * 0.99
        pages: int = story.sim.counters()["by_route"]["GET runs"]
        return pages

    untroubled = fill(new_story(rate_limit=1_000_000), 0)
    assert fill(new_story(rate_limit=1_000_000), 20) <= untroubled * 1.05
