"""Tells in the log that the numbers of a repository have moved: after completed builds, at most once a second.

It follows the log by id, as all do that come after `apply`. What it has told stands in the log itself: the newest
`analytics_updated` says up to which event it counted, so that a restart tells nothing twice and leaves nothing out.
"""

from sqlalchemy import Connection

from pipemon.domain.events import BY_CONCLUSION, Event
from pipemon.ingest.apply import tell
from pipemon.ingest.reader import Deps
from pipemon.store import events

# A build's end, or the correction or loss of one.
MOVES = (*dict.fromkeys(BY_CONCLUSION.values()), "build_completed", "build_updated", "build_deleted")


class Movements:
    """One step a second gives every repository at most one event a second."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._told_until: int | None = None

    def step(self) -> int:
        """Append what has moved since the last step; return how many events that were."""
        with self._deps.db.read() as conn:
            end = events.position(conn).last_id
            if self._told_until is None:
                # On a log without such an event what is past moves nothing now.
                self._told_until = events.newest_id(conn, "analytics_updated") or end
            moved = end > self._told_until and events.count_news(conn, self._told_until, end, MOVES)
        if not moved:
            self._told_until = end
            return 0
        after = self._told_until
        self._told_until, told = self._deps.transact(lambda conn: self._tell(conn, after))
        return told

    def _tell(self, conn: Connection, after: int) -> tuple[int, int]:
        """Count anew under the log's lock, so that no end can lie between what is counted and what tells it."""
        now = self._deps.github.time()

        def follow(end: int) -> list[Event]:
            # Another process may have told meanwhile.
            begin = events.newest_id(conn, "analytics_updated", after) or after
            moved = events.count_news(conn, begin, end, MOVES)
            return [_event(name, last_id, count, int(now)) for name, (last_id, count) in moved.items()]

        told = tell(conn, follow, now)
        return events.position(conn).last_id, told


def _event(repository: str, last_id: int, count: int, now: int) -> Event:
    data = {"repository": repository, "builds": count, "last_build_event_id": last_id}
    return Event("analytics_updated", "analytics", repository, f"analytics:{repository}:{last_id}", now, data=data)
