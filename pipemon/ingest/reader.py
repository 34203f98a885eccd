"""One repository being read: what the poller, the sweep and the backfill share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipemon.domain.runs import JobList
from pipemon.github.client import GitHub
from pipemon.github.errors import Gone, NotFound
from pipemon.ingest.apply import Applied, Batch, Sighting, apply
from pipemon.store import state
from pipemon.store.engine import Database
from pipemon.store.repositories import Watched
from pipemon.store.runs import Wanting


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

        def work(conn: Connection) -> Applied:
            self.guard(conn)
            return apply(conn, batch, self.github.time())

        return self.db.transact(work)

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


def etag_of(key: str, etag: str | None) -> dict[str, str]:
    """Return the mark that a batch carries for this answer."""
    return {} if etag is None else {key: etag}


def read_attempts(deps: Deps, repo: Watched, wanting: Iterable[Wanting], purpose: str) -> int:
    """Read attempts that are over, with all their jobs, and store them as one; return how many calls that took.

    Where GitHub refuses one of them, those before it are stored, and the error is raised.
    """
    before = deps.github.counts.calls
    seen: list[Sighting] = []
    jobs: list[JobList] = []
    try:
        for one in wanting:
            itself, listed = _read_attempt(deps, repo, one, purpose)
            seen += itself
            jobs.append(listed)
    finally:
        if jobs:
            live_since = repo.live_since if purpose == "poll" else None
            deps.apply(Batch(repo.id, live_since, runs=tuple(seen), jobs=tuple(jobs)))
    return deps.github.counts.calls - before


def _read_attempt(deps: Deps, repo: Watched, wanting: Wanting, purpose: str) -> tuple[list[Sighting], JobList]:
    """Read an attempt, itself unless its end is known, and its jobs.

    What GitHub does not know any more (404, 410) counts as read: asking again would not bring it back.
    """
    itself: list[Sighting] = []
    run_id, attempt = wanting.run_id, wanting.run_attempt
    jobs = JobList(run_id, attempt, (), complete=True)
    try:
        if wanting.status != "completed":
            itself.append(Sighting(deps.github.attempt(repo.name, run_id, attempt, purpose=purpose), by_id=True))
        jobs = deps.github.jobs(repo.name, run_id, attempt, live=False, purpose=purpose).jobs or jobs
    except (NotFound, Gone):
        pass
    return itself, jobs
