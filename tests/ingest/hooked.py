"""A story whose simulator also delivers: what it sends is taken in and applied as time passes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipemon.ingest.deliveries import Deliveries
from pipemon.ingest.intake import Arrival, Intake, Receipt
from pipemon.ingest.told import Told
from pipemon.simulator.hooks import Posting
from pipemon.store.schema import attempts, deliveries, event_log, events, jobs, runs
from tests.ingest.conftest import Story


@dataclass
class Hooked:
    """One story with deliveries."""

    story: Story
    intake: Intake = field(init=False)
    told: Told = field(init=False)
    deliveries: Deliveries = field(init=False)
    sent: list[Posting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.story.sim.hooks.aim(secret="made up")
        self.intake = Intake(self.story.db)
        self.told = Told(self.story.clock)
        self.deliveries = Deliveries(self.story.deps, self.told)

    def take_in(self, *postings: Posting, guid: str | None = None, event: str | None = None) -> list[Receipt]:
        """Take deliveries in now, as the door does when their signature is right."""
        at = self.story.deps.github.time()
        return [self.intake.take_in(Arrival(guid or one.guid, event or one.event, one.body, at)) for one in postings]

    def apply(self) -> None:
        """Apply all that is due."""
        while self.deliveries.step():
            pass

    def collect(self, seconds: int) -> list[Posting]:
        """Let time pass; return what the simulator sends meanwhile, without taking it in."""
        found = []
        for _ in range(seconds):
            self.story.now += 1
            found += self.story.sim.hooks.take()
        return found

    def live(self, seconds: int, poll: bool = False) -> None:
        """Let time pass, with deliveries taken in and applied as they come, and polls where wanted."""
        for _ in range(seconds):
            postings = self.collect(1)
            self.sent += postings
            self.take_in(*postings)
            self.apply()
            if poll:
                self.story.poller.tick()

    def results(self) -> dict[str | None, int]:
        query = sa.select(deliveries.c.result, sa.func.count()).group_by(deliveries.c.result)
        return {row[0]: row[1] for row in self.story.rows(query)}

    def state(self) -> list[Any]:
        """Return all that is known of runs, leaving out who settled it."""
        found: list[Any] = []
        for table in (runs, attempts, jobs):
            columns = [column for column in table.c if column.name not in ("settled_at",)]
            found.append([tuple(row) for row in self.story.rows(sa.select(*columns).order_by(*table.primary_key))])
        return found

    def log(self) -> tuple[int, int]:
        """Return the log's last id and revision: neither moves where nothing has changed."""
        ((last, revision),) = self.story.rows(sa.select(event_log.c.last_id, event_log.c.revision))
        return last, revision

    def ends(self) -> list[str]:
        query = sa.select(events.c.dedupe_key).where(events.c.dedupe_key.like("%:completed"))
        return sorted(row[0] for row in self.story.rows(query))


def changed(posting: Posting, change: Callable[[dict[str, Any]], None], guid: str) -> Posting:
    """Return a delivery whose body was changed, under another id."""
    body = json.loads(posting.body)
    change(body)
    return Posting(posting.at, 0, guid, posting.event, json.dumps(body).encode(), "")
