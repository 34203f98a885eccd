"""The clock: APScheduler wakes what has to be done, and the holder of the lease does it.

APScheduler only keeps time here: what is due stands in the database, so that a restart or another process goes on.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

import gevent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.deployments import Deploying
from pipemon.github.client import GitHub
from pipemon.github.errors import LimitReached
from pipemon.ingest.backfill import Backfill
from pipemon.ingest.deliveries import Deliveries
from pipemon.ingest.discovery import Discovery
from pipemon.ingest.movements import Movements
from pipemon.ingest.plan import Floors, Plan
from pipemon.ingest.poll import Poller
from pipemon.ingest.reader import Deps
from pipemon.ingest.rollouts import Rollouts
from pipemon.ingest.stock import Stock
from pipemon.ingest.sweep import Sweep
from pipemon.ingest.told import Told
from pipemon.ingest.vigil import Vigil
from pipemon.store import state
from pipemon.store.engine import Database
from pipemon.store.engine import DatabaseError as StoreError
from pipemon.store.position import Sidecar

log = telemetry.logger(__name__)

LEASE_SECONDS = 20.0
# An answer can only differ after this long; a socket or a dashboard does not notice it.
SNAPSHOT_SECONDS = 0.25
# Stays below GitHub's calls per minute, also where it answers at once.
BACKFILL_CALLS_PER_SECOND = 8
# Deliveries that another process has stored are found after this long; our own at once.
LISTEN_SECONDS = 0.95
# More than there are jobs.
MOST_JOBS = 30


@dataclass(frozen=True, slots=True)
class Chore:
    """Something for the holder of the lease to do again and again; it must find by itself what is to be done."""

    name: str
    work: Callable[[], object]
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """What the clock drives. `owner`: all of its repositories are watched, found anew each hour."""

    db: Database
    github: GitHub
    floors: Floors
    backfill_days: int
    news_max_age_seconds: int
    owner: str | None
    refresh_snapshot: Callable[[], object]
    chores: Sequence[Chore] = ()
    # These make the jobs that tell people, and that read why jobs failed.
    tell: Callable[[Callable[[Connection], None], Callable[[], bool]], Callable[[], object]] = lambda *_: lambda: None
    explain: Callable[[Deps], Callable[[], object]] = lambda _: lambda: None
    deploying: Deploying = field(default_factory=Deploying)
    queued_too_long_seconds: int = 900
    unhurried: bool = True  # keep below GitHub's calls per minute; the simulator has no such rule


class Background:
    """The jobs of one process. Every process keeps its snapshot fresh; only the lease holder reads GitHub."""

    def __init__(
        self,
        work: Work,
        followers: Sequence[Callable[[], None]] = (),
        farewell: Callable[[], None] = lambda: None,
    ) -> None:
        """`followers` run in every process as long as it lives; `farewell` is called when it stops."""
        self._work = work
        self._followers = followers
        self._farewell = farewell
        self._holder = f"{socket.gethostname()}:{uuid4().hex[:8]}"
        self._lease: state.Lease | None = None
        self._stopping = False
        self._sidecar = None if work.db.path is None else Sidecar(work.db.path)
        self._ticked_at: float | None = None
        self._told = Told(time.monotonic)
        deps = Deps(work.db, work.github, self._guard)
        rollouts = Rollouts(deps, time.monotonic, work.backfill_days, work.deploying)
        age, told = work.news_max_age_seconds, self._told
        self._poller = Poller(deps, work.floors, time.monotonic, age, told=told, rollouts=rollouts)
        self._deliveries = Deliveries(deps, self._told, work.news_max_age_seconds)
        self._woken = threading.Event()
        self._sweep = Sweep(deps, time.monotonic)
        self._movements = Movements(deps)
        self._stock = Stock(deps)
        self._vigil = Vigil(deps, time.monotonic, work.queued_too_long_seconds)
        self._discovery = Discovery(deps, work.owner, time.monotonic)
        self._explain = work.explain(deps)
        self._backfill = Backfill(deps, work.backfill_days, time.monotonic)
        # A place for each job, so that one that must not wait (the lease's renewal) never does behind slow ones.
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(MOST_JOBS)},
            timezone="UTC",
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    @property
    def plan(self) -> Plan:
        """The intervals in force."""
        return self._poller.plan

    @property
    def leads(self) -> bool:
        """Whether this process holds the lease."""
        return self._lease is not None

    def tick_age_seconds(self) -> float | None:
        """Return how long ago the last round of reading ended here; None: there was none."""
        return None if self._ticked_at is None else time.monotonic() - self._ticked_at

    def start(self) -> None:
        """Start the clock; the first reads begin at once."""
        # On SQLite one process serves: a lease that is still there belongs to one that was killed.
        if self._sidecar is not None and self._sidecar.settle(self._work.db):
            log.warning("the event log is behind what was already told: it has a new epoch now")
        self._renew(steal=self._work.db.dialect == "sqlite")
        chores = [
            Chore("renew", self._renew, LEASE_SECONDS / 4),
            Chore("deliver", self._deliver, 1.0),
            Chore("snapshot", self._work.refresh_snapshot, SNAPSHOT_SECONDS),
            Chore("note_position", self._note_position, 1.0),
        ]
        led = [
            Chore("poll", self._poll, 1.0),
            Chore("fill", self._fill, 1.0),
            Chore("move", self._movements.step, 1.0),
            Chore("stand", lambda: self._stock.step() + self._vigil.step(), 1.0),
            Chore("explain", self._explain, 1.0),
            Chore("tell", self._work.tell(self._guard, lambda: self.leads and not self._stopping), 1.0),
            *self._work.chores,
        ]
        for chore in (*chores, *(replace(one, work=self._led(one.work)) for one in led)):
            work, name = self._guarded(chore), chore.name
            self._scheduler.add_job(work, "interval", seconds=chore.seconds, id=name, name=name)
        # A round that takes longer than its interval is usual here: no warning.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()
        for follower in self._followers:
            gevent.spawn(follower)

    def stop(self) -> None:
        """Stop the clock and give the lease back; what is being read is refused if it is late."""
        self._stopping = True
        self._farewell()
        self._woken.set()
        self._scheduler.shutdown(wait=False)
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(StoreError):
                self._work.db.transact(lambda conn: state.release_lease(conn, lease))

    def wake(self) -> None:
        """Say that a delivery was committed."""
        self._woken.set()

    def _led(self, work: Callable[[], object]) -> Callable[[], object]:
        """Return work that is left to the process that holds the lease."""
        return lambda: work() if self.leads else None

    def _guarded(self, chore: Chore) -> Callable[[], None]:
        """Return the chore's work with its errors told: one that raises must not end the clock."""

        def run() -> None:
            if self._stopping:
                return
            try:
                chore.work()
            except state.LeaseLost as lost:
                self._lease = None
                if not self._stopping:
                    log.warning("polling stops here", why=str(lost))
            except StoreError as error:
                log.warning("database", job=chore.name, error=str(error))
            except Exception:
                telemetry.count("job_errors_total", job=chore.name)
                log.exception("job failed", job=chore.name)

        return run

    def _guard(self, conn: Connection) -> None:
        if self._lease is None or self._stopping:
            raise state.LeaseLost("this process does not hold the lease")
        state.check_lease(conn, self._lease)

    def _renew(self, steal: bool = False) -> None:
        now = time.time()

        def work(conn: Connection) -> state.Lease | None:
            return state.take_lease(conn, "ingest", self._holder, now, LEASE_SECONDS, steal=steal)

        self._lease = self._work.db.transact(work)

    def _poll(self) -> None:
        self._discovery.step()
        self._poller.tick()
        self._ticked_at = time.monotonic()

    def _fill(self) -> None:
        """Read history for about a second: the sweep first, since it finds what is true now."""
        started, calls = time.monotonic(), 0
        while self.leads and not self._stopping and time.monotonic() - started < 1.0:
            if self._work.unhurried and calls >= BACKFILL_CALLS_PER_SECOND:
                return
            try:
                made = int(self._sweep.step()) or self._backfill.step()
            except LimitReached:
                return
            if not made:
                return
            calls += made

    def _deliver(self) -> None:
        """Apply what was delivered, and listen for more until the next round begins."""
        while not self._stopping:
            self._woken.clear()
            while self.leads and not self._stopping and self._deliveries.step():
                pass
            if not self._woken.wait(LISTEN_SECONDS):
                return

    def _note_position(self) -> None:
        if self._sidecar is not None:
            self._sidecar.note(self._work.db)
