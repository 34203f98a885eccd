"""The four keys by environment, and how production's moved against the window before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

import sqlalchemy as sa

from pipemon.analytics.delivery import Facts, Failure, facts
from pipemon.analytics.four_keys import Keys, keys
from pipemon.queries.aside import aside
from pipemon.queries.changes import Change, change_of, minutes_of
from pipemon.queries.freshness import AsOf
from pipemon.queries.history import Gap
from pipemon.queries.look import Look, Source
from pipemon.queries.past import Line, lines
from pipemon.queries.scope import Query, in_repositories
from pipemon.queries.window import DAY_SECONDS, Basis, Coverage, Exclusion, Window, coverage
from pipemon.store.schema_deployments import deployment_reads, deployments

# From when to when, in Unix seconds.
Span: TypeAlias = tuple[int, int]

MOST_FAILURES = 100
# Spelled out, not bound: SQLite takes a partial index only for the very words of its condition.
UNREAD = sa.text("deployments.statuses_of IS NULL AND deployments.source = 'github'")


@dataclass(frozen=True, slots=True)
class Delivers:
    """What counts: which environments are production (globs), and how many days back deployments are read."""

    production: Sequence[str]
    backfill_days: int

    def is_production(self, line: Line) -> bool:
        """Whether a line counts as production; a workflow that deploys says of no environment, and does."""
        name = line.environment.lower()
        return line.source == "workflow" or any(fnmatchcase(name, glob.lower()) for glob in self.production)


@dataclass(frozen=True, slots=True)
class EnvironmentKeys:
    """One environment's keys, and the facts behind them."""

    repository: str
    environment: str
    source: str
    production: bool
    keys: Keys
    facts: Facts

    @property
    def name(self) -> tuple[str, str]:
        """Repository and environment."""
        return self.repository, self.environment

    @property
    def failed(self) -> tuple[Failure, ...]:
        """The newest hundred change deployments of the window that failed, newest first."""
        return tuple(self.facts.failed.newest(MOST_FAILURES))

    @property
    def unrecovered(self) -> tuple[Failure, ...]:
        """The newest hundred that have not been recovered from, newest first."""
        return tuple(self.facts.unrecovered.newest(MOST_FAILURES))


@dataclass(frozen=True, slots=True)
class LeadChange:
    """How the lead time moved."""

    median: Change
    p90: Change | None


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """How each key moved; None where one of both is not known."""

    deployment_frequency_per_day: Change | None = None
    lead_time_minutes: LeadChange | None = None
    change_failure_rate: Change | None = None
    time_to_restore_minutes: Change | None = None


@dataclass(frozen=True, slots=True)
class PreviousKeys:
    """The keys of the window before, and whether all of it was read."""

    keys: Keys
    complete: bool


@dataclass(frozen=True, slots=True)
class Production:
    """Production's keys as a whole, before and now."""

    keys: Keys
    keys_before: Keys
    before_complete: bool

    @property
    def previous(self) -> "PreviousKeys":
        """The window before."""
        return PreviousKeys(self.keys_before, self.before_complete)

    @property
    def change(self) -> KeyChanges | None:
        """Against the window before; None where that is empty, or not all of it was read."""
        return compare(self.keys, self.keys_before) if self.keys_before.deployments and self.before_complete else None


@dataclass(frozen=True, slots=True)
class Delivery(Production):
    """What `/analytics/dora` tells: production as a whole, and every environment."""

    basis: Basis
    environments: tuple[EnvironmentKeys, ...]
    as_of: AsOf


def compare(now: Keys, before: Keys) -> KeyChanges:
    """Return how the keys moved."""

    median = change_of(minutes_of(now.lead.median), minutes_of(before.lead.median))
    p90 = change_of(minutes_of(now.lead.p90), minutes_of(before.lead.p90))
    return KeyChanges(
        change_of(now.frequency_per_day, before.frequency_per_day),
        None if median is None else LeadChange(median, p90),
        change_of(now.change_failure_rate, before.change_failure_rate),
        change_of(minutes_of(now.restore.median), minutes_of(before.restore.median)),
    )


def production(db: Source, window: Window, delivers: Delivers) -> Production:
    """Return the four keys of the window of all that counts as production, and nothing of each environment."""
    db = Look.at(db)
    end, previous = window.as_of.timestamp, window.previous()
    found = lines(db, window.scope, previous.from_at, end)
    counted = [line for line in found if delivers.is_production(line)]
    now, before = aside(lambda: [_together(counted, *span) for span in _spans(window)])
    return Production(now, before, _covered(db, previous, delivers, _using(found)).complete)


def delivery(db: Source, window: Window, delivers: Delivers, environment: str | None = None) -> Delivery:
    """Return the four keys of the window; with an environment's name, of that one alone, whatever it is."""
    db = Look.at(db)
    end, previous = window.as_of.timestamp, window.previous()
    found = lines(db, window.scope, previous.from_at, end)
    using = _using(found)
    if environment is not None:
        found = [line for line in found if line.environment.lower() == environment.lower()]
    counts = [environment is not None or delivers.is_production(line) for line in found]
    told = aside(_measured, found, counts, *_spans(window))
    rows = tuple(
        EnvironmentKeys(
            window.scope.repositories[line.repository_id], line.environment, line.source, delivers.is_production(line),
            own, behind,
        )
        for line, (behind, own) in zip(found, told.lines, strict=True)
    )  # fmt: skip
    excluded = _excluded([behind for (behind, _), counted in zip(told.lines, counts, strict=True) if counted])
    return Delivery(
        keys=told.now,
        keys_before=told.before,
        before_complete=_covered(db, previous, delivers, using).complete,
        basis=Basis(window, told.now.changes, excluded, _covered(db, window, delivers, using)),
        environments=rows,
        as_of=window.as_of,
    )


def _spans(window: Window) -> tuple[Span, Span]:
    """Return from when to when the window is, and the one before."""
    previous = window.previous()
    return (window.from_at, window.as_of.timestamp), (previous.from_at, window.from_at)


def _using(found: Sequence[Line]) -> frozenset[int]:
    """Return the repositories that use GitHub's deployments."""
    return frozenset(line.repository_id for line in found if line.source == "github")


def _together(found: Sequence[Line], begin: int, end: int) -> Keys:
    return keys([facts(line.history, begin, end) for line in found], begin, end)


@dataclass(frozen=True, slots=True)
class _Measured:
    lines: list[tuple[Facts, Keys]]
    now: Keys
    before: Keys


def _measured(found: Sequence[Line], counts: Sequence[bool], now: Span, before: Span) -> _Measured:
    """Return facts and keys of each line, and the keys of those that count together, now and before."""
    inside = [facts(line.history, *now) for line in found]
    counted = [own for own, counts_too in zip(inside, counts, strict=True) if counts_too]
    earlier = [line for line, counts_too in zip(found, counts, strict=True) if counts_too]
    return _Measured([(one, keys([one], *now)) for one in inside], keys(counted, *now), _together(earlier, *before))


def _excluded(found: Sequence[Facts]) -> tuple[Exclusion, ...]:
    totals: dict[str, int] = {}
    for one in found:
        for reason, count in one.not_counted.items():
            totals[reason] = totals.get(reason, 0) + count
    return tuple(Exclusion(reason, count) for reason, count in sorted(totals.items()))


def _covered(db: Source, window: Window, delivers: Delivers, using: frozenset[int]) -> Coverage:
    """Return which stretches of the window no deployments were read of; where runs stand in, theirs count too."""
    table = deployment_reads.c
    with db.read() as conn:
        reads = {row[0]: row for row in conn.execute(sa.select(table.repository_id, table.filled_at, table.error))}
    gaps: list[Gap] = []
    end, names = window.as_of.timestamp, window.scope.repositories
    for key, name in sorted(names.items()):
        _, filled_at, error = reads.get(key, (key, None, None))
        back = delivers.backfill_days * DAY_SECONDS
        begin = end if filled_at is None else filled_at - back if back else 0
        if error is None and begin > window.from_at:
            gaps.append(Gap(name, window.from_at, min(begin, end)))
    gaps += [Gap(names[key], max(first, window.from_at), last + 1) for key, first, last in _unread(db, window)]
    if others := {key: name for key, name in names.items() if key not in using}:
        gaps += coverage(db, replace(window, scope=replace(window.scope, repositories=others))).gaps
    return Coverage(not gaps, tuple(gaps))


def _unread(db: Source, window: Window) -> list[tuple[int, int, int]]:
    """Return per repository the first and the last deployment of the window whose statuses were not read yet."""
    table = deployments.c
    query: Query = (
        sa.select(table.repository_id, sa.func.min(table.created_at), sa.func.max(table.created_at))
        .where(in_repositories(table.repository_id, window.scope.repositories))
        .where(UNREAD)
        # The sum keeps the planner off the index by time: what is unread has one of its own, and is little.
        .where(table.created_at + 0 >= window.from_at, table.created_at + 0 < window.as_of.timestamp)
        .group_by(table.repository_id)
        .order_by(table.repository_id)
    )
    return [(key, first, last) for key, first, last in db.heavy(query)]
