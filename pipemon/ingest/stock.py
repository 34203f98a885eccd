"""After an outage of ours: one event for each branch that broke meanwhile and still is red, and for each repair.

What happened in the gap itself is history, of which nobody is told (DESIGN: "History is not news").
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from pipemon.domain.diff import standing_event
from pipemon.domain.events import Event
from pipemon.domain.times import format_time
from pipemon.ingest.apply import tell
from pipemon.ingest.reader import Deps
from pipemon.store import hidden, runs
from pipemon.store.hidden import Away


class Stock:
    """Takes stock of a repository once its gap was read to the end."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def step(self) -> int:
        """Look into the gaps that are filled; return how many events that made."""
        with self._deps.db.read() as conn:
            away = hidden.list_away(conn)
        return sum(self._take(gap) for gap in away)

    def _take(self, gap: Away) -> int:
        def work(conn: Connection) -> int:
            count = tell(conn, lambda _: list(_news(conn, gap, self._deps.github.now())), self._deps.github.time())
            hidden.looked_into(conn, gap)
            return count

        return self._deps.transact(work)


def _news(conn: Connection, gap: Away, now: int) -> Iterator[Event]:
    for one in hidden.list_repaired(conn, gap):
        yield from _event(conn, "build_recovered", one.recovered_by, {"since": format_time(one.recovered_at)}, now)
    for one in hidden.list_broken(conn, gap):
        more = {"since": format_time(one.opened_at), "failures": one.failures}
        yield from _event(conn, "build_still_failing", one.run_id, more, now, one.run_attempt)


def _event(
    conn: Connection, event_type: str, run_id: int, more: dict[str, Any], now: int, number: int | None = None
) -> Iterator[Event]:
    """Yield the event of a run's attempt, the latest unless one is named."""
    run, attempts = runs.load_runs(conn, [run_id]).get(run_id), runs.load_attempts(conn, [run_id]).get(run_id, {})
    attempt = attempts.get(max(attempts, default=0) if number is None else number)
    if run is not None and attempt is not None:
        yield standing_event(run, attempt, event_type, now, more)
