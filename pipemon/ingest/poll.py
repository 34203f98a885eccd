"""Polling: reads what is due, when it is due, serially, and hands every answer to `apply`."""

import random
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.coverage import Range
from pipemon.github.client import RunPage
from pipemon.github.errors import BadToken, GitHubError, LimitReached, NotFound
from pipemon.ingest import active
from pipemon.ingest.apply import Batch, Sighting
from pipemon.ingest.plan import Budget, Floors, Pace, Plan, load_of, make_plan
from pipemon.ingest.reader import Deps, Turns, etag_of, read_attempts
from pipemon.ingest.rollouts import Rollouts
from pipemon.ingest.told import Told
from pipemon.store import coverage, repositories, runs
from pipemon.store.repositories import PollOutcome, Watched

log = telemetry.logger(__name__)

# A walk back to what is known stops here; the backfill fills what is left of the gap.
MOST_PAGES = 10
# GitHub's lists may show a run a little later than its `created_at` says.
OVERLAP_SECONDS = 120
# A repository stays active this long after its last change.
ACTIVE_FOR_SECONDS = 300
# One tick ends after this long, so that a stop or a new repository needn't wait for all.
LONGEST_TICK_SECONDS = 10.0
TOKEN_PAUSE_SECONDS = 15.0
# A rename, or another default branch, is noticed after this long.
IDENTIFY_SECONDS = 3600.0
HINTS = ("in_progress", "queued")


class Poller:
    """Reads the watched repositories. `clock` gives seconds for intervals; moments of data are GitHub's."""

    def __init__(
        self,
        deps: Deps,
        floors: Floors,
        clock: Callable[[], float],
        news_max_age_seconds: int = 3600,
        seed: int = 0,
        told: Told | None = None,
        rollouts: Rollouts | None = None,
    ) -> None:
        self._deps = deps
        self._floors = floors
        self._clock = clock
        self._news_max_age = news_max_age_seconds
        self._random = random.Random(seed)
        self._paces: dict[int, Pace] = {}
        self._told = told or Told(clock)
        self._reader = active.ActiveRuns(deps, clock)
        self._turns = Turns(clock, pause_seconds=30)
        self._rollouts = rollouts or Rollouts(deps, clock)
        self.plan = Plan(floors.active_seconds, floors.idle_seconds, floors.detail_seconds)

    def tick(self) -> int:
        """Read the repositories that are due; return how many. Stops where GitHub's limit says so."""
        started = self._clock()
        with self._deps.db.read() as conn:
            watched = repositories.list_watched(conn)
        self._paces = {repo.id: self._paces.get(repo.id) or Pace() for repo in watched}
        self._listen(started)
        load = load_of(self._paces.values(), self._deps.github.counts.seconds_per_call)
        self.plan = make_plan(load, self._budget(), self._floors)
        due = [repo for repo in watched if self._paces[repo.id].due_at <= started]
        done = 0
        for repo in sorted(due, key=lambda repo: self._paces[repo.id].due_at):
            if not self._poll(repo) or self._clock() - started > LONGEST_TICK_SECONDS:
                break
            done += 1
        return done

    def _listen(self, now: float) -> None:
        """Take over of which repositories deliveries tell, and in which something has begun to move."""
        moved = self._told.take_moved()
        for repo_id, pace in self._paces.items():
            pace.told = self._told.holds(repo_id)
            if repo_id in moved and not pace.active:
                pace.active = True
                pace.due_at = min(pace.due_at, now + self.plan.interval(pace))

    def _poll(self, repo: Watched) -> bool:
        """Read one repository; False where no other call may follow now."""
        pace = self._paces[repo.id]
        try:
            self._read(repo, pace)
        except LimitReached as limit:
            log.info("waiting for GitHub's limit", until=limit.until, why=str(limit))
            return False
        except BadToken as error:
            # No repository can be read then; the client itself asks GitHub only now and then.
            self._note(repo, error)
            pace.due_at = self._clock() + TOKEN_PAUSE_SECONDS
            return False
        except GitHubError as error:
            self._failed(repo, pace, error)
        else:
            self._succeeded(repo, pace)
        return True

    def _read(self, repo: Watched, pace: Pace) -> None:
        if self._clock() - pace.identified_at >= IDENTIFY_SECONDS:
            self._identify(repo)
            pace.identified_at = self._clock()
        before = self._deps.github.counts
        repo = self._read_newest(repo)
        self._read_hints(repo, HINTS if pace.active else HINTS[:1])
        pace.calls += 0.2 * (self._deps.github.counts.calls - before.calls - pace.calls)
        pace.cost += 0.2 * (self._deps.github.counts.counted - before.counted - pace.cost)
        self._reader.read(repo, self.plan.of(pace).detail_seconds)
        self._read_ended(repo)
        self._rollouts.read(repo, pace.active)

    def _identify(self, repo: Watched) -> None:
        found = self._deps.github.repository(repo.name)
        self._deps.transact(lambda conn: repositories.identify(conn, repo.id, found))

    def _read_newest(self, repo: Watched) -> Watched:
        """Read the newest runs back to what is known, and record up to when the repository is now true."""
        key = f"{repo.name}/runs"
        known = self._deps.applied_etags([key]).get(key) if repo.last_success_at is not None else None
        first = self._deps.github.newest_runs(repo.name, applied_etag=known)
        live_since = self._live_since(repo, first.as_of)
        repo_now = replace(repo, live_since=live_since, last_success_at=first.as_of)
        if first.unchanged:
            self._record(repo, first, live_since, Range(repo.last_success_at or first.as_of, first.as_of))
            return repo_now
        pages, reached = self._walk(repo, first)
        self._look_for_untold(repo, pages)
        news_since = None if repo.last_success_at is None or live_since == first.as_of else live_since
        for page in reversed(pages[1:]):
            self._deps.apply(Batch(repo.id, news_since, runs=_sightings(page)))
        # The first page comes last: its ETag says that everything behind it is stored too.
        self._deps.apply(Batch(repo.id, news_since, runs=_sightings(first), etags=etag_of(key, first.etag)))
        self._record(repo, first, live_since, _covered(repo, pages, reached))
        return repo_now

    def _walk(self, repo: Watched, first: RunPage) -> tuple[list[RunPage], bool]:
        """Follow the pages until one reaches back to the last read; return them, and whether it was reached."""
        pages = [first]
        known_until = None if repo.last_success_at is None else repo.last_success_at - OVERLAP_SECONDS
        while pages[-1].next_url is not None:
            oldest = min((run.created_at for run in pages[-1].runs), default=0)
            if known_until is None or oldest < known_until:
                return pages, known_until is not None
            if len(pages) >= MOST_PAGES:
                return pages, False
            pages.append(self._deps.github.runs_at(pages[-1].next_url))
        return pages, True

    def _live_since(self, repo: Watched, as_of: int) -> int:
        """Return since when the repository is watched without a gap that would make its changes history."""
        if repo.live_since is None or repo.last_success_at is None:
            return as_of
        return as_of if as_of - repo.last_success_at > self._news_max_age else repo.live_since

    def _record(self, repo: Watched, page: RunPage, live_since: int, covered: Range) -> None:
        self._assess(repo)
        seconds = round(self._interval(repo))
        # Half an interval and some seconds for the reads in front of it: later than that is late.
        outcome = PollOutcome(repo.id, page.as_of, seconds, page.as_of + round(seconds * 1.5) + 15)

        def work(conn: Connection) -> None:
            repositories.record_success(conn, outcome, live_since)
            coverage.cover(conn, repo.id, covered)

        self._deps.transact(work)

    def _read_hints(self, repo: Watched, statuses: tuple[str, ...]) -> None:
        """Read the status lists: they show reruns of old runs, which the newest pages don't."""
        keys = {status: f"{repo.name}/runs?status={status}" for status in statuses}
        applied = self._deps.applied_etags(keys.values())
        for status, key in keys.items():
            page = self._deps.github.runs_with_status(repo.name, status, applied_etag=applied.get(key))
            if not page.unchanged:
                self._look_for_untold(repo, [page])
                batch = Batch(repo.id, repo.live_since, runs=_sightings(page), etags=etag_of(key, page.etag))
                self._deps.apply(batch)

    def _read_ended(self, repo: Watched) -> None:
        """Read the jobs, and the unseen attempts, of runs that ended lately; older ones are the backfill's."""
        with self._deps.db.read() as conn:
            wanting = runs.list_wanting(conn, repo.id, limit=50, since=(repo.last_success_at or 0) - 3600)
        read_attempts(self._deps, repo, self._turns.take(wanting, most=10), "poll", self._turns)

    def _succeeded(self, repo: Watched, pace: Pace) -> None:
        pace.errors = 0
        pace.due_at = self._clock() + self._interval(repo) * self._random.uniform(0.95, 1.05)

    def _look_for_untold(self, repo: Watched, pages: list[RunPage]) -> None:
        """Where deliveries are relied on: rely on them no more once a page shows what none of them has told."""
        pace, seen = self._paces[repo.id], [run for page in pages for run in page.runs]
        pace.told = pace.told and not self._told.misses(self._deps.db, repo.id, seen, pages[0].as_of)

    def _interval(self, repo: Watched) -> float:
        """Return the seconds to the repository's next read, by whether something moves in it."""
        return self.plan.interval(self._paces[repo.id])

    def _assess(self, repo: Watched) -> None:
        """Find out whether something moves in the repository; what is told of its next read follows from this."""
        pace = self._paces[repo.id]
        with self._deps.db.read() as conn:
            pace.unfinished = len(runs.list_unfinished(conn, repo.id))
            changed_at = runs.last_change(conn, repo.id)
        recently = changed_at is not None and self._deps.github.now() - changed_at < ACTIVE_FOR_SECONDS
        pace.active = pace.unfinished > 0 or recently

    def _failed(self, repo: Watched, pace: Pace, error: GitHubError) -> None:
        pace.errors += 1
        pause = min(self._floors.idle_seconds * 2 ** min(pace.errors - 1, 4), 900) * self._random.uniform(0.8, 1.2)
        if error.retryable and pace.errors == 1:
            pause = self._floors.active_seconds
        pace.due_at = self._clock() + pause
        if isinstance(error, NotFound):
            pace.identified_at = float("-inf")
        log.warning("repository not read", repository=repo.name, error=str(error), again_in_seconds=round(pause))
        self._note(repo, error)

    def _note(self, repo: Watched, error: GitHubError) -> None:
        at = self._deps.github.now()
        self._deps.transact(lambda conn: repositories.record_failure(conn, repo.id, str(error), at))

    def _budget(self) -> Budget:
        limits = self._deps.github.limits
        if limits is None or limits.remaining is None or limits.reset_at is None or limits.limit is None:
            return Budget()
        left = limits.remaining - limits.limit * 0.1
        return Budget(left, max(limits.reset_at - self._deps.github.now(), 1))


def _sightings(page: RunPage) -> tuple[Sighting, ...]:
    return tuple(Sighting(run) for run in page.runs)


def _covered(repo: Watched, pages: list[RunPage], reached: bool) -> Range:
    """Return the range that a walk has read to its end."""
    as_of = pages[0].as_of
    if reached and repo.last_success_at is not None:
        return Range(repo.last_success_at, as_of)
    if pages[-1].next_url is None:
        return Range(0, as_of)
    oldest = min((run.created_at for page in pages for run in page.runs), default=as_of)
    return Range(min(oldest + 1, as_of), as_of)
