"""From the log to the outbox: what an event is by the rules becomes rows, in one transaction with the cursor.

A crash before the commit leaves neither, one after it both: nothing is lost between the log and the outbox (I3).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.notify import gate, message
from pipemon.notify.facts import Deploys, fact_of, to_rule
from pipemon.notify.message import Message
from pipemon.notify.quiet import awake_at
from pipemon.notify.rules import FAILURES, Fact, Index, Rule
from pipemon.store import events, explanations, lineage, notifications
from pipemon.store import rules as stored
from pipemon.store.engine import Database
from pipemon.store.notifications import Intent

log = telemetry.logger(__name__)

PAGE = 100
# Events that are no transition of a build, and those that only say that something moved.
UNTOLD = ("build_progress", "build_updated", "build_waiting", "pipeline_updated", "analytics_updated",
          "notification_sent", "notification_failed")  # fmt: skip
GROUP_SECONDS = 900
# A branch that breaks more often than this within an interval flaps: it is told of once that has passed.
MOST_OPENERS = 3
# What one event may be that nobody foresaw: it must not silence all that come after it.
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# Who made what a build is of should know how it failed; of a whole storm he is told once.
ANSWERED_FOR = (*FAILURES, "build_still_failing")


class Dispatch:
    """Follows the log. `guard` runs first in each transaction; `max_age_seconds`: older events are told to nobody."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], float],
        recipients: Mapping[str, str],
        max_age_seconds: int,
        guard: Callable[[Connection], None] = lambda conn: None,
        deploys: Deploys = Deploys(),
        patience_seconds: float = 0.0,
    ) -> None:
        """`patience_seconds`: how long the message of a failure may wait for its reason."""
        self._db = db
        self._patience = patience_seconds
        self._deploys = deploys
        self._clock = clock
        self._recipients = recipients
        self._max_age = max_age_seconds
        self._guard = guard
        self._index = (-1, Index(()))

    def step(self) -> int:
        """Decide on the events since the last step, a page at most; return how many there were."""
        with self._db.read() as conn:
            position = events.position(conn)
            state = stored.get_state(conn)
        if state is not None and (state.epoch, state.last_event_id) == (position.epoch, position.last_id):
            return 0
        return self._db.transact(self._decide)

    def _decide(self, conn: Connection) -> int:
        self._guard(conn)
        position, now = events.position(conn), self._clock()
        state = stored.get_state(conn)
        if state is None:
            stored.begin(conn, position.epoch, position.last_id, int(now))
            return 0
        if state.epoch != position.epoch or state.last_event_id > position.last_id:
            # The log was restored: what it tells again was told.
            stored.set_position(conn, position.epoch, position.last_id)
            return 0
        rows = events.list_after(conn, state.last_event_id, PAGE)
        self._learn(conn, state.rules_revision)
        for row in rows:
            if row.type not in UNTOLD and not row.historic and now - row.occurred_at <= self._max_age:
                try:
                    self._tell(conn, row, state.settings, now)
                except UNFORESEEN:
                    telemetry.count("events_untold_total", type=row.type)
                    log.exception("an event could not be told", event_id=row.id, type=row.type)
        stored.set_position(conn, position.epoch, rows[-1].id if rows else position.last_id)
        return len(rows)

    def _learn(self, conn: Connection, revision: int) -> None:
        """Read the rules where they have changed."""
        if self._index[0] != revision:
            self._index = (revision, Index(to_rule(rule) for rule in stored.list_rules(conn)))

    def _tell(self, conn: Connection, row: Any, settings: Mapping[str, Any], now: float) -> None:
        index, data = self._index[1], json.loads(row.data)
        fact = fact_of(conn, row.type, data, row.run_id, self._deploys, index.asks_usual)
        data.setdefault("branch", fact.branch)
        closing = _closing(fact, index)
        for rule, name in index.matching(fact) + closing:
            # What an outage has hidden is told as what it is, whatever name a rule asked for.
            told = row.type if row.type == "build_still_failing" else name
            said = message.of_event(told, data, row.occurred_at, fact.failures, fact.red_at)
            # By the login: a commit's author is a name that anybody may choose. Nobody made what a clock started.
            if name in ANSWERED_FOR and data.get("actor") and data.get("event") != "schedule":
                said = replace(said, people=(str(data["actor"]),))
            for channel in rule.channels:
                one = _One(rule, name, channel, row.id, data, said, now, fact.line)
                self._put(conn, one, fact, settings, needs_opener=(rule, name) in closing)

    def _put(self, conn: Connection, one: "_One", fact: Fact, settings: Mapping[str, Any], needs_opener: bool) -> None:
        interval = float(settings.get("group_interval_seconds", GROUP_SECONDS))
        why_not = gate.muted(settings.get("mutes", ()), one.rule.muted_until, fact, one.now)
        newest = notifications.newest_of_group(conn, one.group_key)
        group = newest if newest is not None and newest.kind in ("opener", "summary") else None
        if one.name in ANSWERED_FOR and group is not None and _is_over(conn, group, fact):
            group = None
        if one.channel not in self._recipients:
            self._add(conn, one, "single", state="suppressed", why=f"there is no channel {one.channel}")
        elif why_not:
            self._add(conn, one, "single", state="suppressed", why=why_not)
        elif one.name in ANSWERED_FOR:
            self._fail(conn, one, group, interval)
        elif one.name == "build_recovered":
            self._repair(conn, one, group, needs_opener)
        else:
            self._add(conn, one, "single", due_at=one.now + self._wait(conn, one) if one.name == "job_failed" else None)

    def _wait(self, conn: Connection, one: "_One") -> float:
        """Return for how long a failure's message waits: why it failed is worth a moment, and no more."""
        return 0.0 if explanations.is_complete(conn, one.event_id) else self._patience

    def _fail(self, conn: Connection, one: "_One", group: notifications.Group | None, interval: float) -> None:
        """Tell the first failure at once, and further ones of the same incident together, once an interval."""
        if group is None:
            calm_at = notifications.nth_opened_at(conn, one.group_key, MOST_OPENERS) + interval
            self._add(conn, one, "opener", due_at=max(one.now + self._wait(conn, one), calm_at))
        elif group.state == "pending" and (group.kind == "summary" or self._is_held(group, one.now)):
            told = message.summary(one.said, group.represents + 1) if group.kind == "summary" else one.said
            notifications.represent(conn, group.id, told.to_json(), told.text)
            self._add(conn, one, "single", state="suppressed", why=f"told by message {group.id}")
        else:
            due_at = max(one.now, group.due_at + interval)
            self._add(conn, one, "summary", said=message.summary(one.said, 1), due_at=due_at)

    def _repair(self, conn: Connection, one: "_One", group: notifications.Group | None, needs_opener: bool) -> None:
        if group is None and needs_opener:
            return  # who was not told that it broke is not told that it is repaired
        if group is not None and group.kind == "opener" and self._is_held(group, one.now):
            hours = "within quiet hours" if one.rule.quiet else "again before it was told"
            why = f"it broke and was repaired {hours}"
            notifications.suppress(conn, group.id, why)
            self._add(conn, one, "recovery", state="suppressed", why=why)
            return
        number = self._add(conn, one, "recovery")
        if number is not None and group is not None and (group.kind, group.state) == ("summary", "pending"):
            # A summary that came after it would leave the last word to the failures.
            notifications.suppress(conn, group.id, f"told by message {number}")
            notifications.represent(conn, number, one.said.to_json(), one.said.text, group.represents)

    def _is_held(self, group: notifications.Group, now: float) -> bool:
        """Whether quiet hours hold a message back; one that waits for its reason is not held."""
        return group.state == "pending" and group.due_at > now + self._patience

    def _add(
        self, conn: Connection, one: "_One", kind: str, state: str = "pending", why: str | None = None,
        said: Message | None = None, due_at: float | None = None,
    ) -> int | None:  # fmt: skip
        told = said or one.said
        intent = Intent(
            dedupe_key=f"{one.rule.id}:{one.event_id}:{one.channel}:{one.name}",
            channel=one.channel,
            recipient=self._recipients.get(one.channel, one.channel),
            kind=kind,
            message=told.to_json(),
            text=told.text,
            created_at=one.now,
            due_at=awake_at(one.rule.quiet, one.now if due_at is None else due_at),
            rule_id=one.rule.id,
            group_key=one.group_key,
            event_type=one.name,
            event_id=one.event_id,
            state=state,
            why=why or f"rule {one.rule.name}",
        )
        telemetry.count("notification_intents_total", state=state)
        return notifications.add(conn, intent)


@dataclass(frozen=True, slots=True)
class _One:
    """One event for one rule and channel."""

    rule: Rule
    name: str
    channel: str
    event_id: int
    data: Mapping[str, Any]
    said: Message
    now: float
    line: str

    @property
    def group_key(self) -> str:
        """What its messages have in common: a fork's `main`, or a pull request's, is another line than ours."""
        told_of = (self.data.get(name) for name in ("repository", "workflow_id"))
        parts = (self.rule.id, self.channel, *told_of, *([self.line] if self.line else []), self.data.get("branch"))
        return "|".join(map(str, parts))


def _is_over(conn: Connection, group: notifications.Group, fact: Fact) -> bool:
    """Whether the incident of a group has ended, though nobody was told: its rule was muted then, or disabled."""
    if fact.red_since is None:
        return False
    told = lineage.place_of(conn, group.event_id)
    return told is None or told < fact.red_since


def _closing(fact: Fact, index: Index) -> list[tuple[Rule, str]]:
    """Return the rules that told of the failure and do not ask for the repair themselves: they tell of it too."""
    if "build_recovered" not in fact.names:
        return []
    asking = {rule.id for rule, name in index.matching(fact) if name == "build_recovered"}
    return [(rule, "build_recovered") for rule in index.closing(fact) if rule.id not in asking]
