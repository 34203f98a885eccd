"""Doing what people ask: the intent stored first, GitHub asked once, and what nobody knows settled by looking.

A second click, a retry by a proxy and a restart in between must not run anything twice: an Idempotency-Key is asked of
GitHub at most once, whatever becomes of the answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.actions import Action, shows
from pipemon.github.actions import Actions
from pipemon.github.client import GitHub
from pipemon.github.errors import (
    GitHubError,
    Gone,
    NotFound,
    PermissionMissing,
    Refused,
    Uncertain,
)
from pipemon.store import actions as store
from pipemon.store.actions import Stored
from pipemon.store.engine import Database

log = telemetry.logger(__name__)

# After this long whoever asked GitHub has died: longer than the longest wait and the longest answer.
LEFT_SECONDS = 60.0
# When to look whether it was done, where no answer told: GitHub shows a new attempt within seconds.
LOOK_AFTER_SECONDS = (1.0, 2.0, 4.0)


class OtherAction(Exception):
    """The key stands for another action already."""


class UnderWay(Exception):
    """The same action is being asked of GitHub right now."""


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs actions. `reader` looks at runs; `doer` may have a token of its own. `clock` is the local time.

    `alone_since` is when this process began, where no other one serves; else it stays at 0.
    """

    db: Database
    reader: GitHub
    doer: Actions
    alone_since: float = 0.0
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = field(default=time.sleep)

    def perform(self, action: Action, caller: str, key: str | None) -> tuple[Stored, bool]:
        """Do the action, or find what has become of the one with this key; return it, and whether it was there before.

        Raises OtherAction, UnderWay, store.TooMany, and the GitHubError for which GitHub was not asked at all.
        """
        found, is_new = self.db.transact(lambda conn: store.claim(conn, caller, key, action, self.clock()))
        if is_new:
            return self._do(found), False
        if found.action != action:
            raise OtherAction
        if found.state == "asked":
            if not self._is_left(found):
                raise UnderWay
            found = self._settle(found)
        return found, True

    def settle_left(self) -> None:
        """Settle what was asked and never told, because a process died in between."""
        with self.db.read() as conn:
            asked = store.list_asked(conn)
        for one in asked:
            if self._is_left(one):
                self._settle(one)

    def _is_left(self, asked: Stored) -> bool:
        """Whether the process that asked GitHub has died before it could tell."""
        return asked.asked_at < self.alone_since or self.clock() - asked.slot_at >= LEFT_SECONDS

    def _do(self, asked: Stored) -> Stored:
        self.sleep(max(0.0, asked.slot_at - self.clock()))
        try:
            self.doer.do(asked.action)
        except Uncertain as doubt:
            return self._look(asked, str(doubt))
        except (NotFound, Gone) as error:
            return self._end(asked, "refused", 404, f"GitHub does not find it: {error}")
        except PermissionMissing as error:
            return self._end(asked, "refused", 403, str(error))
        except Refused as error:
            is_state = error.status != 403 or "already running" in error.message
            return self._end(asked, "refused", 409 if is_state else 403, error.message or str(error))
        except GitHubError:
            self.db.transact(lambda conn: store.forget(conn, asked.id))
            raise
        return self._end(asked, "accepted")

    def _look(self, asked: Stored, doubt: str) -> Stored:
        """Look at the run until it shows that the action was done, for some seconds."""
        for seconds in LOOK_AFTER_SECONDS:
            self.sleep(seconds)
            if self._shows(asked):
                return self._end(asked, "accepted", reason=f"seen at the run, after: {doubt}")
        return self._end(asked, "unknown", reason=doubt)

    def _settle(self, left: Stored) -> Stored:
        state = "accepted" if self._shows(left) else "unknown"
        return self._end(left, state, reason="the process that asked GitHub ended before the answer")

    def _shows(self, asked: Stored) -> bool:
        action = asked.action
        try:
            run = self.reader.run(action.repository, action.build_id, purpose="people").run
        except GitHubError as error:
            log.warning("not known whether it was done", verb=action.verb, build=action.build_id, error=str(error))
            return False
        return run is not None and bool(shows(action, asked.run_attempt, run))

    def _end(self, asked: Stored, state: str, status: int | None = None, reason: str | None = None) -> Stored:
        def work(conn: Connection) -> Stored | None:
            store.end(conn, asked.id, state, int(self.clock()), status, reason)
            return store.get(conn, asked.id)

        telemetry.count("actions_total", verb=asked.action.verb, outcome=state)
        return self.db.transact(work) or asked
