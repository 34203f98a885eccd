"""The sweep over the last weeks: finds reruns, changes and deletions that the newest pages no longer show.

It comes every hour, at a start, and after an outage: what began and ended meanwhile no other list shows. It reads by
windows of `created`, aligned so that the same address comes again each time: nearly all answers are 304s.
"""

from collections.abc import Callable, Iterator

from pipemon import telemetry
from pipemon.domain.coverage import Range
from pipemon.github.errors import GitHubError, LimitReached
from pipemon.ingest.apply import Batch, Sighting
from pipemon.ingest.reader import Deps, etag_of
from pipemon.store import repositories, runs
from pipemon.store.repositories import Watched

log = telemetry.logger(__name__)

SWEEP_SECONDS = 3600
DEPTH_SECONDS = 30 * 86400
# Windows are a whole one of these; the largest that holds at most a page of runs is taken.
WINDOWS_SECONDS = [hours * 3600 for hours in (768, 384, 192, 96, 48, 24, 12, 6, 3, 1)]
PAGE = 100
CAP = 1000
# What is younger may not be in a filtered list yet.
INDEX_LAG_SECONDS = 600
# A filtered list comes from an index that has been seen to lag and to be empty: more absent runs than this, and more
# than a quarter of the window, say something of the index and nothing of the runs.
MOST_SUSPECTS = 20


def window_seconds(runs_in_depth: int) -> int:
    """Return the length of a window that holds about a page of runs, given how many there were in 30 days."""
    per_second = runs_in_depth / DEPTH_SECONDS
    return next((window for window in WINDOWS_SECONDS if per_second * window <= PAGE * 0.8), WINDOWS_SECONDS[-1])


def windows(now: int, seconds: int) -> Iterator[tuple[int, int]]:
    """Yield the aligned windows [from, to) of the last 30 days, newest first."""
    start = now // seconds * seconds
    while start + seconds > now - DEPTH_SECONDS:
        yield start, start + seconds
        start -= seconds


class Sweep:
    """Sweeps one repository after another, one window a step."""

    def __init__(self, deps: Deps, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._clock = clock
        self._under_way: dict[int, Iterator[tuple[int, int]]] = {}
        self._again_at: dict[int, float] = {}
        self._swept: set[int] = set()

    def step(self) -> bool:
        """Read one window of one repository that is due; False where there was nothing to do."""
        with self._deps.db.read() as conn:
            watched = repositories.list_watched(conn)
        now = self._deps.github.now()
        for repo in watched:
            if repo.last_success_at is None or self._clock() < self._again_at.get(repo.id, 0):
                continue
            if repo.id not in self._under_way:
                if repo.id in self._swept and now - (repo.swept_at or 0) < SWEEP_SECONDS:
                    continue
                with self._deps.db.read() as conn:
                    count = runs.count_created(conn, repo.id, now - DEPTH_SECONDS)
                self._under_way[repo.id] = windows(now, window_seconds(count))
            return self._step(repo)
        return False

    def _step(self, repo: Watched) -> bool:
        window = next(self._under_way[repo.id], None)
        if window is None:
            del self._under_way[repo.id]
            self._swept.add(repo.id)
            at = self._deps.github.now()
            self._deps.db.transact(lambda conn: repositories.mark_swept(conn, repo.id, at))
            return True
        try:
            self._read_window(repo, *window)
        except LimitReached:
            self._again_at[repo.id] = self._clock() + 60
            return False
        except GitHubError as error:
            log.warning("sweep put off", repository=repo.name, error=str(error))
            del self._under_way[repo.id]
            self._again_at[repo.id] = self._clock() + 300
        return True

    def _read_window(self, repo: Watched, from_at: int, to_at: int) -> None:
        """Read a window's pages. Once one has changed, all that follow are taken anew, to know what is absent."""
        seen: set[int] = set()
        changed, whole = False, True
        for number in range(1, CAP // PAGE + 1):
            key = f"{repo.name}/runs?created={from_at}..{to_at}&page={number}"
            following = f"{repo.name}/runs?created={from_at}..{to_at}&page={number + 1}"
            applied = self._deps.applied_etags([key, following])
            page = self._deps.github.runs_created(
                repo.name,
                from_at,
                to_at,
                page=number,
                applied_etag="" if changed else applied.get(key, ""),
                purpose="poll" if repo.swept_at is not None else "backfill",
            )
            if page.unchanged:
                if following not in applied:
                    return
                whole = False
                continue
            changed = True
            sightings = tuple(Sighting(run) for run in page.runs)
            self._deps.apply(Batch(repo.id, repo.live_since, runs=sightings, etags=etag_of(key, page.etag)))
            seen |= {run.id for run in page.runs}
            if page.next_url is None:
                break
        if changed and len(seen) >= page.total_count:
            read_until = min(to_at, page.as_of - INDEX_LAG_SECONDS)
            if whole and read_until > from_at:
                self._deps.apply(Batch(repo.id, covered=Range(from_at, read_until)))
            self._suspect(repo, from_at, read_until, seen)

    def _suspect(self, repo: Watched, from_at: int, to_at: int, seen: set[int]) -> None:
        """Suspect runs that the list no longer shows. That proves nothing yet (G14): they are read by id, twice."""
        with self._deps.db.read() as conn:
            stored = runs.list_ids(conn, repo.id, from_at, to_at)
        absent = stored - seen
        if len(absent) > max(MOST_SUSPECTS, len(stored) // 4):
            log.warning("a list lacks so much that it is not believed", repository=repo.name, runs=len(absent))
        elif absent:
            log.info("runs absent from a list, reading them by id", repository=repo.name, runs=len(absent))
            self._deps.apply(Batch(repo.id, repo.live_since, missing=tuple(absent)))
