"""One repository being read: what the poller, the sweep and the backfill share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.runs import JobList
from pipemon.github.client import GitHub
from pipemon.github.errors import BadAnswer, Gone, NotFound, Refused
from pipemon.ingest.apply import Applied, Batch, Sighting, apply
from pipemon.store import state
from pipemon.store.engine import Database
from pipemon.store.repositories import Watched
from pipemon.store.runs import Wanting

T = TypeVar("T")
# What can't be read now is left alone for so long, so that it does not hold up the rest.
UNREADABLE_SECONDS = 3600.0

log = telemetry.logger(__name__)


@dataclass(frozen=True, slots=True)
class Deps:
    """What reading needs: the database, GitHub, and a guard that is run first in each writing transaction.

    The guard raises where another process holds the lease by now.
    """

    db: Database
    github: GitHub
    guard: Callable[[Connection], None] = field(default=lambda conn: None)

    def apply(self, batch: Batch) -> Applied:
        """Bring one batch into the database, under the guard."""

        return self.transact(lambda conn: apply(conn, batch, self.github.time()))

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one write transaction, under the guard: what reads GitHub writes in no other way."""

        def guarded(conn: Connection) -> T:
            self.guard(conn)
            return work(conn)

        return self.db.transact(guarded)

    def applied_etags(self, keys: Iterable[str]) -> Mapping[str, str]:
        """Return the ETags last applied under these keys."""
        with self.db.read() as conn:
            return state.applied_etags(conn, keys)


class Turns:
    """Lets each attempt have its turn: one that was just read, and wants more, must not hold up the others."""

    def __init__(self, clock: Callable[[], float], pause_seconds: float = 60.0) -> None:
        self._clock = clock
        self._pause = pause_seconds
        self._read_at: dict[tuple[int, int], float] = {}

    def take(self, wanting: Iterable[Wanting], most: int) -> list[Wanting]:
        """Return up to `most` of the attempts that were not taken within the pause, and take them."""
        now = self._clock()
        self._read_at = {key: at for key, at in self._read_at.items() if now - at < self._pause}
        ready = [one for one in wanting if (one.run_id, one.run_attempt) not in self._read_at][:most]
        self._read_at |= {(one.run_id, one.run_attempt): now for one in ready}
        return ready

    def put_off(self, one: Wanting) -> None:
        """Give an attempt that can't be read its next turn much later."""
        self._read_at[one.run_id, one.run_attempt] = self._clock() + UNREADABLE_SECONDS


def etag_of(key: str, etag: str | None) -> dict[str, str]:
    """Return the mark that a batch carries for this answer."""
    return {} if etag is None else {key: etag}


def read_attempts(deps: Deps, repo: Watched, wanting: Iterable[Wanting], purpose: str, turns: Turns) -> int:
    """Read attempts that are over, with all their jobs, and store them as one; return how many calls that took.

    Where GitHub answers no more, those before are stored, and the error is raised; one answer that can't be believed
    is put off, and the others go on.
    """
    before = deps.github.counts.calls
    seen: list[Sighting] = []
    jobs: list[JobList] = []
    try:
        for one in wanting:
            try:
                itself, listed = _read_attempt(deps, repo, one, purpose)
            except (BadAnswer, Refused) as error:
                turns.put_off(one)
                log.warning("attempt put off", repository=repo.name, run=one.run_id, error=str(error))
                continue
            seen += itself
            jobs.append(listed)
    finally:
        if jobs:
            # What is history follows from when it happened, not from who reads it.
            asked = frozenset((listed.run_id, listed.run_attempt) for listed in jobs)
            deps.apply(Batch(repo.id, repo.live_since, runs=tuple(seen), jobs=tuple(jobs), asked=asked))
    return deps.github.counts.calls - before


def _read_attempt(deps: Deps, repo: Watched, wanting: Wanting, purpose: str) -> tuple[list[Sighting], JobList]:
    """Read an attempt, itself unless its end is known, and its jobs.

    What GitHub does not know any more (404, 410) counts as read, if the repository itself can still be read: a token
    that lost its rights gets the same answer.
    """
    itself: list[Sighting] = []
    run_id, attempt = wanting.run_id, wanting.run_attempt
    jobs = JobList(run_id, attempt, (), complete=True)
    try:
        if wanting.status != "completed":
            itself.append(Sighting(deps.github.attempt(repo.name, run_id, attempt, purpose=purpose), by_id=True))
        jobs = deps.github.jobs(repo.name, run_id, attempt, live=False, purpose=purpose).jobs or jobs
    except (NotFound, Gone):
        deps.github.repository(repo.name, purpose=purpose)
    return itself, jobs
