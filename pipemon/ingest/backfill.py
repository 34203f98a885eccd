"""The backfill: fills what coverage lacks, newest first, page by page, and goes on where it was stopped.

GitHub shows at most 1,000 runs of a filtered list, so a window with more is made shorter. A page and its checkpoint
are one transaction: a stop at any moment costs at most one page read twice.
"""

import time
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
PAGE = 100
# Jobs of so many attempts are stored as one: a transaction each would take longer than the reading.
JOBS_PER_STEP = 25
# A repository without anything to do is looked at again after this long.
REST_SECONDS = 5.0
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

    def __str__(self) -> str:
        share = self.read_seconds / self.wanted_seconds if self.wanted_seconds else 1.0
        days = f"{self.read_seconds / 86400:.1f} of {self.wanted_seconds / 86400:.1f} days"
        waiting = f", {self.attempts_waiting} attempts without jobs yet" if self.attempts_waiting else ""
        state = "complete" if self.complete else "whole, with windows that GitHub cuts" if share >= 1 else "under way"
        return f"{self.repository}: {share:6.1%} ({days}), {state}{waiting}"


def horizon(now: int, days: int) -> int:
    """Return the moment back to which history is wanted; 0 days: all of it."""
    return max(BEGINNING, now - days * 86400) if days else BEGINNING


class Backfill:
    """Reads history of the watched repositories in turn."""

    def __init__(self, deps: Deps, days: int, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._days = days
        self._clock = clock
        self._window_seconds: dict[int, int] = {}
        self._again_at: dict[int, float] = {}
        self._rests: dict[tuple[int, str], float] = {}  # until when there was nothing to do
        self._told_complete: set[int] = set()
        self._short: dict[int, int] = {}  # the window that gave fewer runs than it counted
        self._turn = 0
        self._turns = Turns(clock)

    def step(self) -> int:
        """Read one page, or some attempts' jobs, of the repository whose turn it is.

        Returns how many calls that took, at least 1 where anything was done; 0 with nothing to do. Raises LimitReached
        where GitHub's budget leaves nothing for history now.
        """
        with self._deps.db.read() as conn:
            watched = [repo for repo in repositories.list_watched(conn) if repo.last_success_at is not None]
        self._turn += 1
        return self._first(watched, self._step_pages) or self._first(watched, self._step_jobs)

    def _first(self, watched: list[Watched], step: Callable[[Watched], int]) -> int:
        """Take the step for the first repository that has anything to do, beginning with another one each time."""
        for offset in range(len(watched)):
            repo = watched[(self._turn + offset) % len(watched)]
            if self._clock() < max(self._again_at.get(repo.id, 0), self._rests.get((repo.id, step.__name__), 0)):
                continue
            if calls := self._try(repo, step):
                return calls
            # To look at hundreds of repositories each second would keep everybody else waiting.
            self._rests[repo.id, step.__name__] = self._clock() + REST_SECONDS
            time.sleep(0)
        return 0

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
        lacking = page.total_count - (checkpoint.next_page - 1) * PAGE - len(page.runs)
        following: Checkpoint | None = None
        if page.next_url is not None:
            following = replace(checkpoint, next_page=checkpoint.next_page + 1, complete=complete)
        elif complete and lacking > 0:
            # A page was lost, or GitHub's index lags: once more from the start, then it is told as incomplete.
            complete = False
            if self._short.pop(repo.id, None) != checkpoint.from_at:
                self._short[repo.id] = checkpoint.from_at
                following = replace(checkpoint, next_page=1)
        covered = None if following is not None else Range(checkpoint.from_at, checkpoint.to_at, complete)
        batch = Batch(repo.id, repo.live_since, runs=tuple(Sighting(run) for run in page.runs), covered=covered)
        self._store(repo, batch, following)
        if following is None:
            self._adapt(repo, page.total_count, length)
        return True

    def _shorten(self, repo: Watched, checkpoint: Checkpoint, count: int) -> None:
        """Take as much of the window as should stay below the cap: at most its newer half."""
        length = checkpoint.to_at - checkpoint.from_at
        fitting = max(min(length // 2, length * (CAP * 9 // 10) // count), SHORTEST_WINDOW_SECONDS)
        self._window_seconds[repo.id] = fitting
        shorter = replace(checkpoint, from_at=checkpoint.to_at - fitting)
        self._deps.transact(lambda conn: coverage.set_checkpoint(conn, repo.id, shorter))

    def _store(self, repo: Watched, batch: Batch, following: Checkpoint | None) -> None:
        def work(conn: Connection) -> None:
            apply(conn, batch, self._deps.github.time())
            coverage.set_checkpoint(conn, repo.id, following)

        self._deps.transact(work)

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
        return read_attempts(self._deps, repo, ready, "backfill", self._turns)


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
