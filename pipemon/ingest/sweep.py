"""The sweep over the last weeks: finds reruns, changes and deletions that the newest pages no longer show.

It comes every hour, at a start, and after an outage: what began and ended meanwhile no other list shows. It reads by
windows of `created`, aligned so that the same address comes again each time: nearly all answers are 304s.
"""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.coverage import Range
from pipemon.github.errors import BadAnswer, GitHubError, LimitReached, Refused
from pipemon.ingest.active import ActiveRuns
from pipemon.ingest.apply import Batch, Sighting
from pipemon.ingest.reader import Deps, etag_of
from pipemon.store import repositories, runs, state
from pipemon.store.repositories import Watched

log = telemetry.logger(__name__)

SWEEP_SECONDS = 3600
DEPTH_SECONDS = 30 * 86400
# Windows are a whole one of these; the largest that holds at most a page of runs is taken.
WINDOWS_SECONDS = [hours * 3600 for hours in (768, 384, 192, 96, 48, 24, 12, 6, 3, 1)]
PAGE = 100
CAP = 1000
# ETags that did not change for so long are forgotten: to read such an address once more costs one call.
KEPT_SECONDS = 40 * 86400
# The same of single runs: most of them are over, and are not read again.
KEPT_ENDED_SECONDS = 2 * 86400
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
        self._window: dict[int, tuple[int, int]] = {}
        self._active = ActiveRuns(deps, clock)

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
        window = self._window.get(repo.id) or next(self._under_way[repo.id], None)
        if window is None:
            self._end(repo)
            return True
        self._window[repo.id] = window  # until it is read, whatever comes in between
        try:
            self._read_window(repo, *window)
        except LimitReached:
            self._again_at[repo.id] = self._clock() + 60
            return False
        except (BadAnswer, Refused) as error:
            log.warning("a window can't be read", repository=repo.name, error=str(error))
        except GitHubError as error:
            log.warning("sweep put off", repository=repo.name, error=str(error))
            self._again_at[repo.id] = self._clock() + 300
            return True
        del self._window[repo.id]
        return True

    def _end(self, repo: Watched) -> None:
        del self._under_way[repo.id]
        self._swept.add(repo.id)
        now = self._deps.github.now()

        def work(conn: Connection) -> None:
            repositories.mark_swept(conn, repo.id, now)
            state.forget_etags(conn, repo.name, now - KEPT_SECONDS, now - KEPT_ENDED_SECONDS)

        self._deps.transact(work)

    def _read_window(self, repo: Watched, from_at: int, to_at: int) -> None:
        """Read a window's pages. Once one has changed, all that follow are taken anew, to know what is absent.

        Their ETags are applied as one, at the end: a stop in between must not make a changed page an unchanged one.
        """
        seen: set[int] = set()
        etags: dict[str, str] = {}
        whole = True
        for number in range(1, CAP // PAGE + 1):
            key = f"{repo.name}/runs?created={from_at}..{to_at}&page={number}"
            following = f"{repo.name}/runs?created={from_at}..{to_at}&page={number + 1}"
            applied = self._deps.applied_etags([key, following])
            page = self._deps.github.runs_created(
                repo.name,
                from_at,
                to_at,
                page=number,
                applied_etag="" if etags else applied.get(key, ""),
                purpose="poll" if repo.swept_at is not None else "backfill",
            )
            if page.unchanged:
                if following not in applied:
                    return
                whole = False
                continue
            etags |= etag_of(key, page.etag) or {key: ""}
            self._deps.apply(Batch(repo.id, repo.live_since, runs=tuple(Sighting(run) for run in page.runs)))
            seen |= {run.id for run in page.runs}
            if page.next_url is None:
                break
        read_until = min(to_at, page.as_of - INDEX_LAG_SECONDS)
        if etags and len(seen) >= page.total_count:
            self._suspect(repo, from_at, read_until, seen)
            whole = whole and read_until > from_at
        else:
            whole = False
        covered = Range(from_at, read_until) if whole else None
        kept = {key: etag for key, etag in etags.items() if etag}
        self._deps.apply(Batch(repo.id, repo.live_since, etags=kept, covered=covered))

    def _suspect(self, repo: Watched, from_at: int, to_at: int, seen: set[int]) -> None:
        """Read the runs that the list no longer shows by their own addresses: absence proves nothing yet (G14)."""
        with self._deps.db.read() as conn:
            stored = runs.list_ids(conn, repo.id, from_at, to_at)
        absent = stored - seen
        if len(absent) > max(MOST_SUSPECTS, len(stored) // 4):
            log.warning("a list lacks so much that it is not believed", repository=repo.name, runs=len(absent))
            return
        for run_id in sorted(absent):
            self._active.suspect(repo, run_id)
