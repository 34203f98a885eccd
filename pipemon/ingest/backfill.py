"""The backfill: fills what coverage lacks, newest first, page by page, and goes on where it was stopped.

GitHub shows at most 1,000 runs of a filtered list, so a window with more is made shorter. A page and its checkpoint
are one transaction: a stop at any moment costs at most one page read twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.coverage import Range, missing
from pipemon.github.errors import GitHubError, LimitReached
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.ingest.reader import Deps, Turns, read_attempts
from pipemon.store import coverage, repositories, runs
from pipemon.store.coverage import Checkpoint
from pipemon.store.repositories import Watched

log = telemetry.logger(__name__)

CAP = 1000
# Jobs of so many attempts are stored as one: a transaction each would take longer than the reading.
JOBS_PER_STEP = 25
FIRST_WINDOW_SECONDS = 7 * 86400
LONGEST_WINDOW_SECONDS = 64 * 86400
SHORTEST_WINDOW_SECONDS = 60
# GitHub Actions had no runs before.
BEGINNING = 1_533_081_600  # 2018-08-01


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one repository's history is: seconds of it wanted and read, and attempts whose jobs are still wanted."""

    repository: str
    wanted_seconds: int
    read_seconds: int
    attempts_waiting: int
    complete: bool


def horizon(now: int, days: int) -> int:
    """Return the moment back to which history is wanted; 0 days: all of it."""
    return max(BEGINNING, now - days * 86400) if days else BEGINNING


class Backfill:
    """Reads history of the watched repositories in turn. Everything it stores is marked historic."""

    def __init__(self, deps: Deps, days: int, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._days = days
        self._clock = clock
        self._window_seconds: dict[int, int] = {}
        self._again_at: dict[int, float] = {}
        self._told_complete: set[int] = set()
        self._turn = 0
        self._turns = Turns(clock)

    def step(self) -> int:
        """Read one page, or some attempts' jobs, of the repository whose turn it is.

        Returns how many calls that took, at least 1 where anything was done; 0 with nothing to do. Raises LimitReached
        where GitHub's budget leaves nothing for history now.
        """
        with self._deps.db.read() as conn:
            watched = [repo for repo in repositories.list_watched(conn) if repo.last_success_at is not None]
        ready = [repo for repo in watched if self._clock() >= self._again_at.get(repo.id, 0)]
        self._turn += 1
        for offset in range(len(ready)):
            repo = ready[(self._turn + offset) % len(ready)]
            if calls := self._try(repo, self._step_pages):
                return calls
        return next((calls for repo in ready if (calls := self._try(repo, self._step_jobs))), 0)

    def _try(self, repo: Watched, step: Callable[[Watched], int]) -> int:
        try:
            return step(repo)
        except LimitReached:
            raise
        except GitHubError as error:
            self._again_at[repo.id] = self._clock() + 60
            log.warning("backfill put off", repository=repo.name, error=str(error))
            return 0

    def _step_pages(self, repo: Watched) -> bool:
        """Read the next page of the window under way, or begin the next window."""
        checkpoint = self._checkpoint(repo)
        if checkpoint is None:
            return False
        page = self._deps.github.runs_created(
            repo.name, checkpoint.from_at, checkpoint.to_at, page=checkpoint.next_page, purpose="backfill"
        )
        length = checkpoint.to_at - checkpoint.from_at
        self._window_seconds[repo.id] = length
        if page.total_count > CAP and length > SHORTEST_WINDOW_SECONDS and checkpoint.next_page == 1:
            self._shorten(repo, checkpoint, page.total_count)
            return True
        complete = checkpoint.complete and page.total_count <= CAP
        ended = page.next_url is None
        following = None if ended else replace(checkpoint, next_page=checkpoint.next_page + 1, complete=complete)
        covered = Range(checkpoint.from_at, checkpoint.to_at, complete) if ended else None
        batch = Batch(repo.id, None, runs=tuple(Sighting(run) for run in page.runs), covered=covered)
        self._store(repo, batch, following)
        if ended:
            self._adapt(repo, page.total_count, length)
        return True

    def _shorten(self, repo: Watched, checkpoint: Checkpoint, count: int) -> None:
        """Take as much of the window as should stay below the cap: at most its newer half."""
        length = checkpoint.to_at - checkpoint.from_at
        fitting = max(min(length // 2, length * (CAP * 9 // 10) // count), SHORTEST_WINDOW_SECONDS)
        self._window_seconds[repo.id] = fitting
        shorter = replace(checkpoint, from_at=checkpoint.to_at - fitting)
        self._deps.db.transact(lambda conn: self._set_checkpoint(conn, repo, shorter))

    def _store(self, repo: Watched, batch: Batch, following: Checkpoint | None) -> None:
        def work(conn: Connection) -> None:
            self._deps.guard(conn)
            apply(conn, batch, self._deps.github.time())
            coverage.set_checkpoint(conn, repo.id, following)

        self._deps.db.transact(work)

    def _set_checkpoint(self, conn: Connection, repo: Watched, checkpoint: Checkpoint) -> None:
        self._deps.guard(conn)
        coverage.set_checkpoint(conn, repo.id, checkpoint)

    def _checkpoint(self, repo: Watched) -> Checkpoint | None:
        """Return the window under way, else the newest one that coverage lacks, else None."""
        with self._deps.db.read() as conn:
            stored = coverage.get_checkpoint(conn, repo.id)
            ranges = coverage.list_ranges(conn, repo.id)
        if stored is not None:
            return stored
        now = self._deps.github.now()
        gaps = missing(ranges, horizon(now, self._days), repo.last_success_at or now)
        if not gaps:
            if repo.id not in self._told_complete:
                self._told_complete.add(repo.id)
                log.info("history is complete", repository=repo.name, days=self._days)
            return None
        self._told_complete.discard(repo.id)
        seconds = self._window_seconds.get(repo.id, FIRST_WINDOW_SECONDS)
        days = sum(gap.to_at - gap.from_at for gap in gaps) / 86400
        log.info("reading history", repository=repo.name, days_of_history_left=round(days, 1))
        return Checkpoint(max(gaps[0].from_at, gaps[0].to_at - seconds), gaps[0].to_at, 1)

    def _adapt(self, repo: Watched, count: int, length: int) -> None:
        """Make the next window longer where this one was far from the cap."""
        if count < CAP // 4:
            self._window_seconds[repo.id] = min(length * 2, LONGEST_WINDOW_SECONDS)

    def _step_jobs(self, repo: Watched) -> int:
        """Read the jobs of the newest runs that lack them."""
        with self._deps.db.read() as conn:
            wanting = runs.list_wanting(conn, repo.id, limit=50)
        ready = self._turns.take(wanting, most=JOBS_PER_STEP)
        return read_attempts(self._deps, repo, ready, "backfill")


def progress(conn: Connection, days: int, now: int) -> list[Progress]:
    """Return how far each watched repository's history is."""
    found = []
    for repo in repositories.list_watched(conn):
        from_at = horizon(now, days)
        to_at = repo.last_success_at or now
        ranges = coverage.list_ranges(conn, repo.id)
        gaps = missing(ranges, from_at, to_at)
        wanted = max(0, to_at - from_at)
        left = sum(gap.to_at - gap.from_at for gap in gaps)
        whole = not gaps and all(part.complete for part in ranges if part.to_at > from_at)
        found.append(Progress(repo.name, wanted, wanted - left, runs.count_wanting(conn, repo.id), whole))
    return found
