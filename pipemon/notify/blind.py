"""pipemon tells about itself: once when it can't see any more, once when it can again (N7, G10)."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from pipemon.notify.message import Message
from pipemon.store import notifications
from pipemon.store import rules as stored
from pipemon.store.engine import Database
from pipemon.store.notifications import Intent

# What passes by itself within this time is nobody's business.
AFTER_SECONDS = 120.0
LOOK_SECONDS = 10.0
GROUP = "pipemon|blind"


class Blind:
    """Looks at what keeps pipemon from seeing. `trouble` says why it does not see, None while it does.

    Whether it has told is in the outbox itself, so that a restart tells nothing twice.
    """

    def __init__(
        self,
        db: Database,
        trouble: Callable[[], str | None],
        recipients: Mapping[str, str],
        clock: Callable[[], float],
        guard: Callable[[Connection], None] = lambda conn: None,
    ) -> None:
        self._db = db
        self._trouble = trouble
        self._recipients = recipients
        self._clock = clock
        self._guard = guard
        self._looked_at = float("-inf")
        self._since: float | None = None

    def step(self) -> int:
        """Look now and then; return how many messages that made."""
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return 0
        self._looked_at = now
        why = self._trouble()
        self._since = None if why is None else self._since if self._since is not None else now
        if why is not None and self._since is not None and now - self._since < AFTER_SECONDS:
            return 0
        with self._db.read() as conn:
            if self._has_told(conn) == (why is not None):
                return 0
        return self._db.transact(lambda conn: self._tell(conn, why, now))

    def _has_told(self, conn: Connection) -> bool:
        newest = notifications.newest_of_group(conn, GROUP)
        return newest is not None and newest.kind == "opener"

    def _tell(self, conn: Connection, why: str | None, now: float) -> int:
        self._guard(conn)
        if why is None:
            said = Message("pipemon sees again", "What it shows is up to date again.", "good", occurred_at=int(now))
        else:
            text = "Until then what it shows may be old, and nobody is told of what happens."
            said = Message("pipemon can't see what happens", text, "warn", (("Why", why),), occurred_at=int(now))
        state = stored.get_state(conn)
        wanted = (state.settings if state else {}).get("default_channels", ["slack"])
        kind = "recovery" if why is None else "opener"
        told = (said.to_json(), said.text, now, now)
        reached = [channel for channel in wanted if channel in self._recipients]
        for channel in reached:
            key = f"blind:{channel}:{now}"
            intent = Intent(key, channel, self._recipients[channel], kind, *told, group_key=GROUP, why="about pipemon")
            notifications.add(conn, intent)
        return len(reached)
