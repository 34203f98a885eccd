"""Puts the parts of notifications together, as the job that dispatches and sends."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.events import Event
from pipemon.ingest.apply import tell
from pipemon.notify.blind import Blind
from pipemon.notify.channel import Channel
from pipemon.notify.dispatch import Dispatch
from pipemon.notify.facts import Deploys
from pipemon.notify.outbox import Outbox
from pipemon.store import history
from pipemon.store.engine import Database, DatabaseError

log = telemetry.logger(__name__)

LOOK_SECONDS = 0.5
# A page of history is many commits: one look serves for those that come together.
GATHER_SECONDS = 0.02
# A job's log is there some seconds after its end.
PATIENCE_SECONDS = 8.0
# What was told long ago is dropped in slices, with a pause after each for those who wait to write.
FORGET_SECONDS = 300
MOST_SLICES = 40
PAUSE_SECONDS = 0.1
DAY_SECONDS = 86400


@dataclass(slots=True)
class Telling:
    """Dispatches and sends, in the process that holds the lease. `clock` is GitHub's time."""

    db: Database
    channels: Mapping[str, Channel]
    clock: Callable[[], float]
    max_age_seconds: int
    deploys: Deploys = field(default_factory=Deploys)
    trouble: Callable[[], str | None] = lambda: None  # why pipemon does not see what happens
    history_days: int = 30
    open_days: int = 730  # of incidents that are not repaired
    _worked_at: float | None = None
    _bell: threading.Event = field(default_factory=threading.Event)

    def ring(self) -> None:
        """Say that something waits."""
        self._bell.set()

    def age_seconds(self) -> float | None:
        """Return how long ago a round of telling ended well here; None: there was none."""
        return None if self._worked_at is None else time.monotonic() - self._worked_at

    def forget(self) -> int:
        """Drop what was told long ago, a slice at a time; return how many messages went."""
        now, total = self.clock(), 0
        given_up = self.db.transact(lambda conn: history.give_up_old(conn, now))
        if given_up:
            telemetry.count("notifications_given_up_total", given_up)
            log.warning("messages are given up, since nobody could be told for three days", count=given_up)
        days = [now - count * DAY_SECONDS for count in (self.history_days, max(self.history_days, self.open_days))]
        for _ in range(MOST_SLICES):
            gone = self.db.transact(lambda conn: history.drop_old(conn, *days))
            total += gone
            telemetry.count("notifications_forgotten_total", gone)
            if gone < history.SLICE:
                break
            time.sleep(PAUSE_SECONDS)
        return total

    def job(self, guard: Callable[[Connection], None], goes_on: Callable[[], bool]) -> Callable[[], None]:
        """Return the work of about a second, under the guard of the lease."""
        recipients = {name: channel.recipient for name, channel in self.channels.items()}
        dispatch = Dispatch(
            self.db, self.clock, recipients, self.max_age_seconds, guard, self.deploys, PATIENCE_SECONDS
        )
        # One clock for all: what one says is due the other must not find to be an hour away.
        blind = Blind(self.db, self.trouble, recipients, self.clock, guard)
        outbox = Outbox(self.db, self.channels, self.clock, guard, self._tell, time.monotonic, _elsewhere)

        def work() -> None:
            until = time.monotonic() + 0.95
            while goes_on() and time.monotonic() < until:
                if not (dispatch.step() + blind.step() + outbox.step()):
                    # Not into the next round: the clock would leave that one out.
                    if self._bell.wait(max(0.0, min(LOOK_SECONDS, until - time.monotonic()))):
                        time.sleep(GATHER_SECONDS)
                    self._bell.clear()
            self._worked_at = time.monotonic()

        return work

    def _tell(self, conn: Connection, news: list[Event]) -> None:
        tell(conn, lambda _: news, self.clock())


def _elsewhere(work: Callable[[], None]) -> None:
    """Do a sending beside the others, and tell what goes wrong: what was not recorded is sent again, marked."""

    def run() -> None:
        try:
            work()
        except DatabaseError as error:
            log.warning("database", job="send", error=str(error))
        except Exception:
            telemetry.count("job_errors_total", job="send")
            log.exception("job failed", job="send")

    threading.Thread(target=run, name="send", daemon=True).start()
