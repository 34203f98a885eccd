"""Puts the parts of notifications together, as the job that dispatches and sends."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipemon.domain.events import Event
from pipemon.ingest.apply import tell
from pipemon.notify.blind import Blind
from pipemon.notify.channel import Channel
from pipemon.notify.dispatch import Dispatch
from pipemon.notify.facts import Deploys
from pipemon.notify.outbox import Outbox
from pipemon.store.engine import Database

LOOK_SECONDS = 0.5
# A page of history is many commits: one look serves for those that come together.
GATHER_SECONDS = 0.02
# A job's log is there some seconds after its end.
PATIENCE_SECONDS = 8.0


@dataclass(slots=True)
class Telling:
    """Dispatches and sends, in the process that holds the lease. `clock` is GitHub's time."""

    db: Database
    channels: Mapping[str, Channel]
    clock: Callable[[], float]
    max_age_seconds: int
    deploys: Deploys = field(default_factory=Deploys)
    trouble: Callable[[], str | None] = lambda: None  # why pipemon does not see what happens
    _bell: threading.Event = field(default_factory=threading.Event)

    def ring(self) -> None:
        """Say that something waits."""
        self._bell.set()

    def job(self, guard: Callable[[Connection], None], goes_on: Callable[[], bool]) -> Callable[[], None]:
        """Return the work of about a second, under the guard of the lease."""
        recipients = {name: channel.recipient for name, channel in self.channels.items()}
        dispatch = Dispatch(
            self.db, self.clock, recipients, self.max_age_seconds, guard, self.deploys, PATIENCE_SECONDS
        )
        # One clock for all: what one says is due the other must not find to be an hour away.
        blind = Blind(self.db, self.trouble, recipients, self.clock, guard)
        outbox = Outbox(self.db, self.channels, self.clock, guard, self._tell, time.monotonic)

        def work() -> None:
            until = time.monotonic() + 0.95
            while goes_on() and time.monotonic() < until:
                if not (dispatch.step() + blind.step() + outbox.step()):
                    # Not into the next round: the clock would leave that one out.
                    if self._bell.wait(max(0.0, min(LOOK_SECONDS, until - time.monotonic()))):
                        time.sleep(GATHER_SECONDS)
                    self._bell.clear()

        return work

    def _tell(self, conn: Connection, news: list[Event]) -> None:
        tell(conn, lambda _: news, self.clock())
