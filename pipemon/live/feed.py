"""Follows the event log in this process: what is new goes to the hub, what a client has missed to that client.

Each process tails the log by itself, so that it does not matter which one wrote an event. The newest events stay in
memory and older pages are shared, so that ten thousand clients that come back at once cost a handful of reads.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gevent
from gevent.event import Event

from pipemon import telemetry
from pipemon.live import protocol
from pipemon.live.hub import Client, Hub, Update
from pipemon.live.socket import frame
from pipemon.store import events
from pipemon.store.engine import Database, DatabaseError
from pipemon.store.events import Position

log = telemetry.logger(__name__)

PAGE = 500
WINDOW = 2000
SHARED_PAGES = 20
# The log is looked at this often where nobody wakes us: another process may have written.
LOOK_SECONDS = 0.25
# After a commit, so that a burst of them is one look.
GATHER_SECONDS = 0.01
# A client that resumes gets the next page when it has taken most of the one before.
ENOUGH_BYTES = 64 * 1024


PRUNED = "pruned: events after that one are no longer held"


class Feed:
    """The tail of the log. `refresh` is called before anybody is told, so that who then asks sees what happened."""

    def __init__(self, db: Database, hub: Hub, refresh: Callable[[], object]) -> None:
        self._db = db
        self._hub = hub
        self._refresh = refresh
        self._woken = Event()
        self._window: deque[Update] = deque(maxlen=WINDOW)
        self._pages: OrderedDict[int, Sequence[Update]] = OrderedDict()
        self._reading: dict[int, Event] = {}
        self.position: Position | None = None
        hub.lagging = lambda client: gevent.spawn(self.catch_up, client)
        self.reads = 0

    def wake(self) -> None:
        """Say that something was committed."""
        self._woken.set()

    def run(self) -> None:
        """Follow the log until the hub closes; for a greenlet of its own."""
        while not self._hub.closing:
            try:
                self.look()
            except DatabaseError as error:
                log.warning("the event log can't be read", error=str(error))
                gevent.sleep(1.0)
            except Exception:
                log.exception("following the event log failed")
                gevent.sleep(1.0)
            if self._woken.wait(LOOK_SECONDS):
                gevent.sleep(GATHER_SECONDS)
            self._woken.clear()

    def look(self) -> None:
        """Read what is new and tell it."""
        with self._db.read() as conn:
            found = events.position(conn)
        if self.position is None or found.epoch != self.position.epoch or found.last_id < self.position.last_id:
            self._begin(found)
        while self.position is not None and self.position.last_id < found.last_id:
            self._refresh()
            fresh = self._read(self.position.last_id)
            if not fresh:
                return
            # Before the sending, which yields: who resumes meanwhile reads up to here, and is told nothing twice.
            self._window.extend(fresh)
            self.position = Position(found.epoch, fresh[-1].id, found.revision)
            self._hub.publish(fresh)

    def _begin(self, found: Position) -> None:
        """Take the log up where it ends; who is subscribed to another log is told so."""
        # Read first: where that fails, nothing has changed, and the next look begins anew.
        newest = [update for update in self._read(max(0, found.last_id - PAGE)) if update.id <= found.last_id]
        was, self.position = self.position, found
        self._window.clear()
        self._pages.clear()
        self._window.extend(newest)
        if was is not None:
            log.warning("another event log", epoch=found.epoch, last_id=found.last_id)
            self._hub.resync(found)

    def _read(self, after: int) -> list[Update]:
        self.reads += 1
        telemetry.count("live_reads_total")
        with self._db.read() as conn:
            return [_update(row) for row in events.list_after(conn, after, PAGE)]

    def page(self, after: int) -> Sequence[Update]:
        """Return some of the updates that follow an id, from memory where they are there."""
        if self._window and self._window[0].id <= after + 1:
            return list(islice(self._window, after + 1 - self._window[0].id, None))
        return [update for update in self._shared(after // PAGE * PAGE) if update.id > after]

    def _shared(self, start: int) -> Sequence[Update]:
        """Return the page that begins behind an id; all who want it at once wait for one read."""
        while (reading := self._reading.get(start)) is not None:
            reading.wait()
        if start in self._pages:
            return self._pages[start]
        reading = self._reading[start] = Event()
        try:
            found = self._read(start)
        finally:
            del self._reading[start]
            reading.set()
        if len(found) == PAGE:
            self._pages[start] = found
            if len(self._pages) > SHARED_PAGES:
                self._pages.popitem(last=False)
        return found

    def catch_up(self, client: Client) -> None:
        """Send a client what it has missed, history too, as fast as it takes it; then it is live."""
        while client.connection.is_open and not client.live:
            try:
                self._send_missed(client)
            except DatabaseError as error:
                log.warning("a client waits for the event log", error=str(error))
                gevent.sleep(1.0)

    def _send_missed(self, client: Client) -> None:
        position = self.position
        if position is None or client.cursor >= position.last_id:
            # Nothing yields between this look and the switch: no event can slip through.
            client.live, client.resumes = True, False
            return
        missed = self.page(client.cursor)
        if client.cursor >= position.last_id or self.position is not position:
            return  # reading took a while, and the log went on
        if not missed or missed[0].id != client.cursor + 1:
            client.cursor = position.last_id
            telemetry.count("live_resyncs_total", reason="pruned")
            client.connection.send_text(protocol.resync(position.last_id, position.epoch, PRUNED))
            return
        for update in missed:
            if update.id > position.last_id or client.connection.backlog_bytes > ENOUGH_BYTES:
                break
            client.cursor = update.id
            if client.wants(update) and (client.resumes or not update.historic):
                client.connection.send(update.frame)
        self._let_drain(client)

    def _let_drain(self, client: Client) -> None:
        """Wait until the client has taken what was sent; who takes nothing is cut off by the hub's pulse."""
        gevent.sleep(0)
        while client.connection.is_open and client.connection.backlog_bytes > 0:
            drained = Event()
            client.connection.drained = drained.set
            drained.wait(1.0)
        client.connection.drained = None


def _update(row: Any) -> Update:
    text = protocol.update(row)
    branches = protocol.branches_of(row.data)
    return Update(row.id, row.topic, row.repository.lower(), branches, bool(row.historic), frame(text.encode()))
