"""Deliveries, movements and the snapshot where two things happen at once."""

import json
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
import sqlalchemy as sa

from pipemon.api.services import SnapshotSource
from pipemon.ingest.apply import Batch
from pipemon.ingest.movements import Movements
from pipemon.store import events as log
from pipemon.store.schema import deliveries, events, repositories
from tests.ingest.conftest import SHOP, Story, new_story, story  # noqa: F401
from tests.ingest.hooked import Hooked
from tests.ingest.test_deliveries import hooked  # noqa: F401


def test_W8_a_repeated_id_with_another_body_wipes_nothing(hooked: Hooked) -> None:  # noqa: F811
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    postings = [one for one in hooked.collect(40) if one.event == "workflow_run"]
    hooked.take_in(*postings)
    other = b'{"zen": "x", "hook": {}}'  # signed too: a ping
    from pipemon.ingest.intake import Arrival

    at = hooked.story.deps.github.time()
    for one in postings:
        assert hooked.intake.take_in(Arrival(one.guid, one.event, other, at)).status == "repeated"
    hooked.apply()
    assert set(hooked.results()) == {"applied"}
    assert hooked.story.attempts_of(run) == [(1, "completed", "failure")]


def test_W4_a_delivery_sent_again_of_what_is_not_watched_any_more_does_not_wait_for_ever(
    hooked: Hooked,  # noqa: F811
) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=20)
    postings = hooked.collect(40)
    hooked.take_in(*postings)
    db = hooked.story.db
    db.transact(lambda conn: conn.execute(sa.update(deliveries).values(result="failed")))
    db.transact(lambda conn: conn.execute(sa.update(repositories).values(watched=False)))
    hooked.take_in(*postings)
    hooked.story.now += 3600
    hooked.apply()
    print(hooked.results(), hooked.told.behind_seconds)
    assert None not in hooked.results()


def test_a_run_that_only_a_list_lacks_is_still_told_by_deliveries(hooked: Hooked) -> None:  # noqa: F811
    """The sweep suspects what an index that lags does not show; GitHub was never asked by id."""
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    hooked.live(5)
    late = hooked.collect(40)
    hooked.story.deps.apply(Batch(1, 0, missing=(run,)))
    hooked.take_in(*late)
    hooked.apply()
    rows = hooked.story.rows(sa.select(deliveries.c.result, deliveries.c.why))
    print(rows)
    assert hooked.story.attempts_of(run) == [(1, "completed", "failure")]


def test_a_restart_leaves_no_ended_build_out_of_the_movements(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    movements = Movements(story.deps)
    story.tick()
    movements.step()
    story.sim.add_runs(SHOP, seconds=20)
    story.tick(64)
    plain, done = log.count_news, []

    def count_news(*given: Any) -> Any:
        found = plain(*given)
        if found and not done:
            done.append(1)
            # the poller commits the end of another build between the read and the write of this step
            gevent.spawn(lambda: None)
            later.append(True)
        return found

    later: list[bool] = []
    real = story.db.transact

    def transact(work: Any) -> Any:
        if later and later.pop():
            story.sim.add_runs(SHOP, seconds=5)
            story.tick(64)
        return real(work)

    monkeypatch.setattr(log, "count_news", count_news)
    monkeypatch.setattr(story.db, "transact", transact)
    movements.step()
    monkeypatch.undo()
    Movements(story.deps).step()  # after a restart
    rows = story.rows(sa.select(events.c.type, events.c.data).order_by(events.c.id))
    ends = sum(row.type in ("build_succeeded", "build_failed", "build_completed") for row in rows)
    told = sum(json.loads(row.data)["builds"] for row in rows if row.type == "analytics_updated")
    assert ends == 2
    assert told == 2


@dataclass
class Seen:
    """As a snapshot."""

    revision: int
    epoch: str = "e"
    last_id: int = 0

    def equals(self, other: "Seen") -> bool:
        return self == other


def test_a_snapshot_never_goes_back() -> None:
    """On PostgreSQL a read gives way: the clock's and the feed's may end in the other order."""
    pauses = iter([(1, 0.03), (2, 0.0)])

    def read() -> Any:
        revision, seconds = next(pauses)
        gevent.sleep(seconds)
        return Seen(revision)

    source = SnapshotSource(read, lambda: 0.0)
    clock = gevent.spawn(source.refresh)
    gevent.sleep(0.001)
    source.refresh()  # the feed's, before it tells
    clock.join()
    assert source.current() == Seen(2)


def test_jobs_of_runs_that_nobody_knows_do_not_hold_up_the_rest(hooked: Hooked) -> None:  # noqa: F811
    """Hooks came on while much was under way: jobs of runs that are not stored, in front of a run that is told."""
    sim, now = hooked.story.sim, hooked.story
    sim.add_runs(SHOP, count=120, seconds=60)
    early = [one for one in hooked.collect(70) if one.event == "workflow_job"]
    per_run = {json.loads(one.body)["workflow_job"]["run_id"]: one for one in early}
    hooked.take_in(*per_run.values())
    (run,) = sim.add_runs(SHOP, seconds=600)
    hooked.take_in(*[one for one in hooked.collect(4) if json.loads(one.body).get("workflow_run", {}).get("id") == run])
    steps = 0
    while hooked.story.attempts_of(run) == [] and steps < 60:
        hooked.deliveries.step()
        steps += 1
        now.now += 1
    # Three reads a step: those of 120 runs that nobody knows are most of it.
    assert steps <= 10
