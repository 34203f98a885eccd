"""What the log tells of a pipeline and of the numbers, beside what happened to builds."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.ingest.movements import Movements
from pipemon.ingest.reader import Deps
from pipemon.store.schema import events
from pipemon.store.state import LeaseLost
from tests.ingest.conftest import SHOP, Story


def told(story: Story, name: str) -> list[Any]:
    query = sa.select(events).where(events.c.type == name).order_by(events.c.id)
    return [(row, json.loads(row.data)) for row in story.rows(query)]


def test_a_pipeline_event_follows_each_change_with_what_runs_then(story: Story) -> None:
    story.tick()
    first, second = story.sim.add_runs(SHOP, count=2, seconds=0, branch="main")
    story.tick(64)
    story.sim.order("finish", SHOP, run=first, conclusion="failure")
    story.tick(64)
    (began, ran), (over, ended) = told(story, "pipeline_updated")
    assert (ran["running_count"], ran["queued_count"], set(ran["build_ids"])) == (2, 0, {first, second})
    assert (ended["running_count"], ended["build_ids"], ended["branches"]) == (1, [first], ["main"])
    assert (began.topic, began.repository) == ("pipeline", SHOP)
    failed = story.rows(sa.select(events.c.id).where(events.c.type == "build_failed"))[0].id
    assert over.id > failed


def test_history_moves_no_pipeline_and_no_numbers(story: Story) -> None:
    story.sim.add_runs(SHOP, count=5, seconds=20)
    story.now += 7 * 86400
    movements = Movements(story.deps)
    story.tick(times=2)
    story.fill()
    movements.step()
    assert story.rows(sa.select(sa.func.count()).select_from(events))[0][0] >= 5
    assert told(story, "pipeline_updated") == told(story, "analytics_updated") == []


def test_builds_that_end_within_a_step_are_one_event_and_none_is_left_out(story: Story) -> None:
    movements = Movements(story.deps)
    story.tick()
    movements.step()
    story.sim.add_runs(SHOP, count=3, seconds=20)
    story.tick(10)
    assert movements.step() == 0
    story.tick(64, times=2)
    assert (movements.step(), movements.step()) == (1, 0)
    story.sim.add_runs(SHOP, count=2, seconds=20)
    story.tick(64, times=2)
    # As after a restart: what was told stands in the log.
    assert Movements(story.deps).step() == 1
    assert Movements(story.deps).step() == 0
    assert [data["builds"] for _, data in told(story, "analytics_updated")] == [3, 2]


def test_only_the_holder_of_the_lease_tells(story: Story) -> None:
    def lost(conn: Any) -> None:
        raise LeaseLost("another process")

    story.tick()
    movements = Movements(Deps(story.db, story.github, lost))
    movements.step()
    story.sim.add_runs(SHOP, seconds=20)
    story.tick(64, times=2)
    with pytest.raises(LeaseLost):
        movements.step()
    assert Movements(story.deps).step() == 0
    assert told(story, "analytics_updated") == []
