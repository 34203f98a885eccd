"""What no answer of GitHub tells: builds that run or wait for too long, and calls that are nearly used up."""

import json
from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import Connection

from pipemon.analytics.stats import percentile
from pipemon.domain.diff import standing_event
from pipemon.domain.events import Event
from pipemon.domain.times import format_time
from pipemon.github.budget import Limits
from pipemon.ingest.apply import tell
from pipemon.ingest.reader import Deps
from pipemon.store import durations, lateness, runs

LOOK_SECONDS = 15.0
# Of fewer builds nobody can say how long one may take.
FEWEST = 20
# One in a hundred takes longer than the 99th percentile; it is late where it is well over that.
LATE_FACTOR = 1.25
LATE_SECONDS = 60
# Polling ends at a tenth; who is told at a fifth can still do something.
LOW_SHARE = 0.2
KEPT_SECONDS = 600.0


class Vigil:
    """Looks now and then. `queued_seconds`: how long a build may wait for a runner."""

    def __init__(self, deps: Deps, clock: Callable[[], float], queued_seconds: int) -> None:
        self._deps = deps
        self._clock = clock
        self._queued = queued_seconds
        self._looked_at = float("-inf")
        self._usual: dict[int, tuple[float, float | None]] = {}

    def step(self) -> int:
        """Look, where it is time to; return how many events that made."""
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return 0
        self._looked_at = self._clock()
        now = self._deps.github.now()
        with self._deps.db.read() as conn:
            news = [*self._overdue(conn, now), *self._waiting(conn, now), *_budget(self._deps.github.limits, now)]
        if not news:
            return 0
        return self._deps.transact(lambda conn: tell(conn, lambda _: news, self._deps.github.time()))

    def _overdue(self, conn: Connection, now: int) -> Iterator[Event]:
        for run_id, workflow_id, started_at in lateness.list_running(conn, now):
            usual, seconds = self._p99(conn, run_id, workflow_id), now - started_at
            if usual is not None and seconds > max(usual * LATE_FACTOR, usual + LATE_SECONDS):
                more = {"running_seconds": seconds, "p99_seconds": round(usual)}
                yield from _event(conn, "build_overdue", run_id, now, more)

    def _waiting(self, conn: Connection, now: int) -> Iterator[Event]:
        for run_id, since, job, labels in lateness.list_queued(conn, now, now - self._queued):
            more: dict[str, object] = {"queued_seconds": now - since, "labels": json.loads(labels)}
            yield from _event(conn, "build_queued_too_long", run_id, now, more | ({"job": job} if job else {}))

    def _p99(self, conn: Connection, run_id: int, workflow_id: int) -> float | None:
        """Return the 99th percentile of the workflow's durations; it is kept for some minutes."""
        kept = self._usual.get(workflow_id)
        if kept is None or self._clock() - kept[0] > KEPT_SECONDS:
            known = durations.before(conn, run_id)
            p99 = percentile(((value, 1) for value in known), 0.99) if len(known) >= FEWEST else None
            kept = self._usual[workflow_id] = (self._clock(), p99)
        return kept[1]


def _event(conn: Connection, event_type: str, run_id: int, now: int, more: Mapping[str, object]) -> Iterator[Event]:
    run = runs.load_runs(conn, [run_id]).get(run_id)
    attempt = None if run is None else runs.load_attempts(conn, [run_id]).get(run_id, {}).get(run.run_attempt)
    if run is not None and attempt is not None:
        yield standing_event(run, attempt, event_type, now, more)


def _budget(limits: Limits | None, now: int) -> Iterator[Event]:
    """Yield the event of a window of GitHub's of which little is left, once for each window."""
    if limits is None or not limits.limit or limits.remaining is None or limits.reset_at is None:
        return
    if limits.remaining <= limits.limit * LOW_SHARE:
        data = {"remaining": limits.remaining, "limit": limits.limit, "reset_at": format_time(limits.reset_at)}
        # GitHub's own moment may differ by a second from answer to answer.
        key = f"budget_low:{limits.token_hash[:8]}:{(limits.reset_at + 30) // 60}"
        yield Event("budget_low", "pipeline", "", key, now, data=data)
