"""From the outbox to the channels: claim, send, record. None is lost, and none is repeated without saying so (I3)."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.events import Event
from pipemon.notify.channel import Channel, Outcome
from pipemon.notify.choice import choose
from pipemon.notify.message import Message, Thread, explained
from pipemon.store import backlog, explanations, notifications
from pipemon.store import rules as stored
from pipemon.store.engine import Database
from pipemon.store.notifications import Claimed, Intent

log = telemetry.logger(__name__)

LEASE_SECONDS = 30.0
RETRY_ATTEMPTS = 8
RETRY_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 900.0


class Outbox:
    """Sends what waits, no faster than each channel allows. `tell` appends events to the log.

    `start` begins a sending: elsewhere, so that a channel that does not answer holds up no other; here by default.
    """

    def __init__(
        self,
        db: Database,
        channels: Mapping[str, Channel],
        clock: Callable[[], float],
        guard: Callable[[Connection], None] = lambda conn: None,
        tell: Callable[[Connection, list[Event]], object] = lambda conn, news: None,
        monotonic: Callable[[], float] | None = None,
        start: Callable[[Callable[[], None]], object] = lambda work: work(),
    ) -> None:
        """`monotonic` paces the sendings: `clock` is GitHub's, and may be set forward by a second."""
        self._db = db
        self._channels = channels
        self._clock = clock
        self._guard = guard
        self._tell = tell
        self._random = random.Random()
        self._monotonic = monotonic or clock
        self._free_at: dict[str, float] = {}
        self._busy: set[str] = set()
        self._start = start
        self._known = False

    def step(self) -> int:
        """Begin to send at most one message of each channel; return how many were begun."""
        if not self._known:
            self._db.transact(self._know)
            self._known = True
        return sum(self._begin(channel) for channel in self._channels.values() if channel.name not in self._busy)

    def _begin(self, channel: Channel) -> bool:
        claimed = self._next(channel)
        if claimed is None:
            return False
        self._busy.add(channel.name)

        def work() -> None:
            try:
                self._send(channel, claimed)
            finally:
                self._busy.discard(channel.name)

        try:
            self._start(work)
        except RuntimeError:  # no thread is to be had: its lease will end
            self._busy.discard(channel.name)
            raise
        return True

    def _know(self, conn: Connection) -> None:
        self._guard(conn)
        for channel in self._channels.values():
            notifications.know_channel(conn, channel.name, channel.fingerprint)

    def _next(self, channel: Channel) -> Claimed | None:
        """Claim what the channel is to be sent now."""
        now = self._clock()
        if self._monotonic() < self._free_at.get(channel.name, 0.0):
            return None
        with self._db.read() as conn:
            known = {row.name: row for row in notifications.list_channels(conn)}.get(channel.name)
            state = stored.get_state(conn)
            most = (state.settings if state else {}).get("rate_limit_per_hour")
            if known is None or known.disabled_why or now < known.next_at:
                return None
            # Every commit wakes those who follow the log, this one too: one that does nothing would go on for ever.
            if notifications.next_due(conn, channel.name, now) is None:
                return None
            if most and notifications.count_sent(conn, channel.name, now - 3600) >= most:
                return None
        return self._db.transact(lambda conn: self._claim(conn, channel.name, now))

    def _send(self, channel: Channel, claimed: Claimed) -> bool:
        """Send it and record what came of that."""
        outcome = self._deliver(channel, claimed)
        self._free_at[channel.name] = self._monotonic() + 1 / channel.per_second
        telemetry.count("notifications_total", channel=channel.name, outcome=outcome.kind)
        self._db.transact(lambda conn: self._record(conn, channel, claimed, outcome))
        return True

    def _deliver(self, channel: Channel, claimed: Claimed) -> Outcome:
        """Send it. A channel promises to raise nothing; one that does must not hold up the others for ever."""
        try:
            return channel.send(self._message(claimed))
        except Exception as error:
            log.exception("a message could not be sent", channel=channel.name, notification_id=claimed.id)
            return Outcome("uncertain", f"pipemon failed to send it ({type(error).__name__})")

    def _message(self, claimed: Claimed) -> Message:
        """Return what is sent: with the word of a possible repeat, and with what it follows upon."""
        message = replace(Message.from_json(claimed.message), possible_duplicate=claimed.possible_duplicate)
        if claimed.kind not in ("summary", "recovery") or claimed.group_key is None:
            return message
        with self._db.read() as conn:
            found = notifications.opener_of(conn, claimed)
        if found is None:
            return message
        opener = replace(Message.from_json(found.message), possible_duplicate=found.possible_duplicate)
        return replace(message, thread=Thread(found.reference, opener, found.is_repaired))

    def _claim(self, conn: Connection, channel: str, now: float) -> Claimed | None:
        self._guard(conn)
        claimed = choose(conn, channel, self._channels[channel].recipient, now)
        if claimed is None:
            return None
        notifications.claim(conn, claimed, now + LEASE_SECONDS)
        if (why := explanations.why(conn, claimed.event_id)) is None:
            return claimed
        told = explained(Message.from_json(claimed.message), why)
        explanations.retell(conn, claimed.id, told.to_json(), told.text)
        return replace(claimed, message=told.to_json())

    def _record(self, conn: Connection, channel: Channel, claimed: Claimed, outcome: Outcome) -> None:
        """Record what came of it. Not under the guard: it was sent, whoever holds the lease now."""
        now = self._clock()
        next_at = now + 1 / channel.per_second
        if outcome.kind == "sent":
            notifications.mark_sent(conn, claimed.id, now, outcome.reference)
            notifications.note_channel(conn, channel.name, next_at=next_at, last_sent_at=now)
            self._say(conn, "notification_sent", claimed, "sent", now)
            return
        values: dict[str, object] = {"last_failed_at": now, "last_error": outcome.detail, "next_at": next_at}
        if outcome.kind == "gone":
            values["disabled_why"] = outcome.detail
            notifications.mark_dead(conn, claimed, outcome.detail)
            waited = notifications.give_up_waiting(conn, channel.name, f"the channel is gone: {outcome.detail}")
            log.error("a channel is gone", channel=channel.name, why=outcome.detail, given_up=waited + 1)
            self._tell_elsewhere(conn, channel, outcome.detail, now)
        elif outcome.kind == "refused" or self._is_over(conn, claimed, now):
            if notifications.mark_dead(conn, claimed, outcome.detail):
                self._say(conn, "notification_failed", claimed, "failed", now)
        else:
            wait = self._wait(outcome, claimed.tries)
            if outcome.retry_after_seconds is not None:
                values["next_at"] = now + outcome.retry_after_seconds
            uncertain = outcome.kind == "uncertain"
            notifications.put_off(conn, claimed, now + wait, outcome.detail, uncertain)
        notifications.note_channel(conn, channel.name, **values)

    def _tell_elsewhere(self, conn: Connection, gone: Channel, why: str, now: float) -> None:
        """Tell by another channel that this one takes nothing any more: nobody would notice its silence (N7)."""
        state = stored.get_state(conn)
        wanted = (state.settings if state else {}).get("default_channels", ["slack"])
        known = {row.name: row for row in notifications.list_channels(conn) if row.disabled_why is None}
        others = [name for name in (*wanted, *self._channels) if name != gone.name and name in known]
        others = [name for name in others if name in self._channels]
        if not others:
            return
        text = "What it was to be told is kept; POST /api/v1/notifications/replay sends it again."
        facts = (("Channel", gone.name), ("Why", why))
        said = Message(f"pipemon can't reach {gone.name} any more", text, "warn", facts, occurred_at=int(now))
        channel = self._channels[others[0]]
        key = f"gone:{gone.name}:{channel.name}:{now}"
        told = (said.to_json(), said.text, now, now)
        notifications.add(conn, Intent(key, channel.name, channel.recipient, "single", *told, why="about pipemon"))

    def _is_over(self, conn: Connection, claimed: Claimed, now: float) -> bool:
        """Whether a message was tried often enough, while others were taken."""
        state = stored.get_state(conn)
        most = int((state.settings if state else {}).get("retry_attempts", RETRY_ATTEMPTS))
        return claimed.tries >= most and backlog.is_hopeless(conn, claimed.id, claimed.channel, now)

    def _wait(self, outcome: Outcome, tries: int) -> float:
        """Return the seconds until the next try: what the channel said, else doubling, with jitter."""
        if outcome.retry_after_seconds is not None:
            return outcome.retry_after_seconds
        return min(RETRY_SECONDS * 2.0 ** (tries - 1), LONGEST_WAIT_SECONDS) * self._random.uniform(0.8, 1.2)

    def _say(self, conn: Connection, event_type: str, claimed: Claimed, status: str, now: float) -> None:
        self._tell(conn, [event_of(event_type, claimed, status, int(now))])


def event_of(event_type: str, claimed: Claimed, status: str, now: int) -> Event:
    """Return the event of a message that was sent, or given up."""
    data = {"notification_id": claimed.id, "rule_id": claimed.rule_id, "channel": claimed.channel, "status": status}
    key = f"notification:{claimed.id}:{status}:{claimed.tries}"
    return Event(event_type, "notifications", claimed.repository, key, now, data=data)
