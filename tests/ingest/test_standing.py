"""What no change tells: what an outage has hidden, what runs or waits too long, and a budget that runs out."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain.runs import JobList
from pipemon.ingest.apply import Batch, Sighting
from pipemon.ingest.stock import Stock
from pipemon.ingest.vigil import LOOK_SECONDS, Vigil
from pipemon.store.schema import events, repositories
from tests.builders import a_job, a_run
from tests.ingest.conftest import SHOP, Story

WAITED = 900


def told(story: Story, *types: str) -> list[tuple[str, int | None]]:
    """Return (type, run) of the events of these types, in the order of the log."""
    query = sa.select(events.c.type, events.c.run_id).where(events.c.type.in_(types), sa.not_(events.c.historic))
    return [tuple(row) for row in story.rows(query.order_by(events.c.id))]


def data_of(story: Story, event_type: str) -> Any:
    (row,) = story.rows(sa.select(events.c.data).where(events.c.type == event_type))
    return json.loads(row.data)


def end(story: Story, conclusion: str, branch: str = "main") -> int:
    (run_id,) = story.sim.add_runs(SHOP, seconds=10, conclusion=conclusion, branch=branch, event="push")
    story.now += 60
    return run_id


def read_all(story: Story) -> None:
    """Read, sweep, and look into what the gap has hidden."""
    story.tick(times=2)
    while story.sweep.step():
        pass
    Stock(story.deps).step()


HIDDEN = ("build_still_failing", "build_recovered")


def test_after_an_outage_what_is_still_red_is_told_once_and_what_was_repaired_is_not(story: Story) -> None:
    read_all(story)
    story.restart()
    first = end(story, "failure")
    end(story, "failure")
    end(story, "failure", "topic")
    end(story, "success", "topic")
    story.now += 7200
    read_all(story)
    assert told(story, *HIDDEN) == [("build_still_failing", first)]
    assert data_of(story, "build_still_failing")["failures"] == 2
    # Once, whatever comes.
    story.restart()
    read_all(story)
    assert len(told(story, *HIDDEN)) == 1


def test_nothing_is_said_before_the_gap_is_read(story: Story) -> None:
    """What looks red in the first page may have been repaired by what is not read yet."""
    read_all(story)
    story.restart()
    end(story, "failure")
    story.now += 7200
    story.tick(times=2)
    assert Stock(story.deps).step() == 0
    assert story.rows(sa.select(repositories.c.away_since))[0][0] is not None


def test_the_repair_of_what_was_told_before_the_outage_is_told(story: Story) -> None:
    read_all(story)
    end(story, "failure")
    story.tick()
    repaired_by = end(story, "success")
    story.restart()
    story.now += 7200
    read_all(story)
    assert told(story, *HIDDEN) == [("build_recovered", repaired_by)]


def test_a_fresh_install_and_a_short_stop_hide_nothing(story: Story) -> None:
    end(story, "failure")
    story.now += 7200
    read_all(story)
    story.restart()
    end(story, "failure", "topic")
    story.now += 600
    read_all(story)
    assert told(story, *HIDDEN) == []


def vigil(story: Story, seconds: int = WAITED) -> Vigil:
    return Vigil(story.deps, story.clock, seconds)


def look(story: Story, watch: Vigil) -> int:
    story.now += LOOK_SECONDS
    story.tick(5)
    return watch.step()


def test_a_build_that_runs_for_too_long_is_told_once(story: Story) -> None:
    for _ in range(25):
        end(story, "success")
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=0, branch="main", event="push")
    watch = vigil(story)
    look(story, watch)
    assert told(story, "build_overdue") == []
    story.now += 300
    look(story, watch)
    look(story, vigil(story))
    assert told(story, "build_overdue") == [("build_overdue", run_id)]
    assert data_of(story, "build_overdue")["p99_seconds"] < 60


def test_of_few_builds_none_is_late(story: Story) -> None:
    for _ in range(19):
        end(story, "success")
    story.tick()
    story.sim.add_runs(SHOP, seconds=0, branch="main", event="push")
    story.tick()
    story.now += 300
    look(story, vigil(story))
    assert told(story, "build_overdue") == []


def waits(story: Story, number: int, seconds: int, job_status: str | None, status: str = "queued") -> None:
    """Let a build, and a job of it where it has one, be queued so many seconds ago."""
    at = int(story.now) - seconds
    times = {"created_at": at, "started_at": at, "updated_at": at}
    run = a_run(id=number, run_number=number, repository=SHOP, status=status, conclusion=None, **times)
    job = a_job(run, id=number, status=job_status, conclusion=None, created_at=at, labels=("gpu", "large"))
    jobs = (JobList(run.id, 1, (job,), False),) if job_status else ()
    story.deps.apply(Batch(1, live_since=0, runs=(Sighting(run),), jobs=jobs))


@pytest.mark.parametrize(
    ("seconds", "job_status", "status", "late"),
    [
        (WAITED + 60, None, "queued", True),
        (WAITED + 60, "queued", "queued", True),
        (WAITED + 60, "queued", "in_progress", True),
        (WAITED - 60, "queued", "queued", False),
        (WAITED + 60, "in_progress", "in_progress", False),
        (WAITED + 60, None, "waiting", False),  # for somebody's approval
    ],
)
def test_a_build_that_waits_for_a_runner(
    story: Story, seconds: int, job_status: str | None, status: str, late: bool
) -> None:
    story.tick()
    waits(story, 77, seconds, job_status, status)
    watch = vigil(story)
    watch.step()
    assert told(story, "build_queued_too_long") == ([("build_queued_too_long", 77)] if late else [])
    if late and job_status:
        assert data_of(story, "build_queued_too_long")["labels"] == ["gpu", "large"]
    story.now += LOOK_SECONDS
    watch.step()
    assert len(told(story, "build_queued_too_long")) == late


def test_what_is_not_read_is_not_late(story: Story) -> None:
    """While GitHub can't be reached, a build that seems to run may long be over."""
    for _ in range(25):
        end(story, "success")
    story.tick()
    story.sim.add_runs(SHOP, seconds=0, branch="main", event="push")
    story.tick()
    story.now += 3000
    assert vigil(story).step() == 0
    assert told(story, "build_overdue") == []


def test_a_budget_that_runs_out_is_told_once_a_window(story: Story) -> None:
    story.tick()
    watch = vigil(story)
    look(story, watch)
    assert told(story, "budget_low") == []
    limits = story.github.limits
    assert limits is not None and limits.limit is not None
    for token in story.sim.limits.used:
        story.sim.limits.used[token] = int(limits.limit * 0.85)
    story.tick()
    look(story, watch)
    look(story, vigil(story))
    assert len(told(story, "budget_low")) == 1
    assert data_of(story, "budget_low")["limit"] == limits.limit
