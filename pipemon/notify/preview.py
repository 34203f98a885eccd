"""What a rule would have told: its draft held against the log, and grouped as the dispatch groups."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pipemon.notify.dispatch import MOST_OPENERS, UNTOLD
from pipemon.notify.facts import Deploys, fact_of, names_from
from pipemon.notify.message import of_event
from pipemon.notify.quiet import awake_at
from pipemon.notify.rules import FAILURES, Fact, Index, Rule

STILL = (*FAILURES, "build_still_failing")


@dataclass(slots=True)
class Planned:
    """One message that would have been sent, at a moment in Unix seconds, for so many events."""

    at: float
    kind: str
    event_type: str
    title: str
    repository: str
    workflow: str | None
    branch: str | None
    represents: int = 1


@dataclass(slots=True)
class Preview:
    """The messages of a draft rule, in the order of time. `interval` is that between messages of one group."""

    rule: Rule
    interval: float
    messages: list[Planned] = field(default_factory=list)
    represented: int = 0
    _open: dict[tuple[object, ...], Planned] = field(default_factory=dict)
    _opened: dict[tuple[object, ...], list[float]] = field(default_factory=dict)

    def see(self, conn: Connection, row: Any, deploys: Deploys) -> None:
        """Take the log's next event."""
        if row.type in UNTOLD:
            return
        data = json.loads(row.data)
        if not self._may_tell(row.type, data):
            return
        fact = fact_of(conn, row.type, data, row.run_id, deploys, self.rule.asks_usual)
        data.setdefault("branch", fact.branch)
        name = self._name(fact)
        if name is None:
            return
        key = (*_place(data), fact.line)
        title = of_event(name, data, row.occurred_at, fact.failures).title
        kind = "opener" if name in STILL else "recovery" if name == "build_recovered" else "single"
        said = Planned(row.occurred_at, kind, name, title, fact.repository, data.get("workflow"), data.get("branch"))
        self._plan(key, said, wanted=name in self.rule.trigger_events)

    def _may_tell(self, event_type: str, data: Mapping[str, Any]) -> bool:
        """Whether it is worth to ask what is known of the event: by its type, or since it may end what was told."""
        if not names_from(event_type).isdisjoint(self.rule.trigger_events):
            return True
        return self.rule.closes and any(key[:3] == _place(data) for key in self._open)

    def _name(self, fact: Fact) -> str | None:
        """Return under which name the rule wants the event; the repair of what it tells, too."""
        index = Index([self.rule])
        if found := index.matching(fact):
            return found[0][1]
        closes = "build_recovered" in fact.names and bool(index.closing(fact))
        return "build_recovered" if closes else None

    def _plan(self, key: tuple[object, ...], said: Planned, wanted: bool) -> None:
        last = self._open.get(key)
        is_held = last is not None and last.at > said.at
        if said.kind == "recovery":
            if last is None and not wanted:
                return
            self._open.pop(key, None)
            if last is not None and is_held:
                self.messages.remove(last)
                if last.kind == "opener":
                    self.represented -= last.represents
                    self._opened[key].pop()
                    return
                said.represents += last.represents
        elif said.kind == "opener" and last is None:
            earlier = self._opened.setdefault(key, [])
            calm_at = earlier[-MOST_OPENERS] + self.interval if len(earlier) >= MOST_OPENERS else 0.0
            earlier.append(said.at)
            said.at = max(said.at, calm_at)
        elif said.kind == "opener" and last is not None:
            if is_held:
                last.represents += 1
                self.represented += 1
                return
            said.kind, said.at = "summary", max(said.at, last.at + self.interval)
        said.at = awake_at(self.rule.quiet, said.at)
        if said.kind in ("opener", "summary"):
            self._open[key] = said
        self.represented += 1
        self.messages.append(said)


def _place(data: Mapping[str, Any]) -> tuple[object, ...]:
    return (data.get("repository"), data.get("workflow_id"), data.get("branch"))


def in_order(messages: Iterable[Planned]) -> list[Planned]:
    """Return the messages by their moment."""
    return sorted(messages, key=lambda one: one.at)
