"""How long jobs waited for a runner: by the labels that they asked for, and by the hour."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from pipemon.analytics.stats import percentile
from pipemon.domain.runs import STAMP_SLACK_SECONDS
from pipemon.queries.aside import aside
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Query, Scope, where
from pipemon.queries.window import DAY_SECONDS, Basis, Exclusion, Window, coverage
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs

HOURS = 24


@dataclass(frozen=True, slots=True)
class Waits:
    """How long some jobs waited, in seconds; None without any."""

    n: int = 0
    median: float | None = None
    p90: float | None = None
    p95: float | None = None
    longest: float | None = None


@dataclass(frozen=True, slots=True)
class HourWaits(Waits):
    """The same of those that were created in one hour of the day, 0 to 23."""

    hour: int = 0


@dataclass(frozen=True, slots=True)
class LabelWaits(Waits):
    """The same of those that asked for these labels, with each hour of the day."""

    labels: tuple[str, ...] = ()
    hours: tuple[HourWaits, ...] = ()


@dataclass(frozen=True, slots=True)
class Queues:
    """What `/analytics/queue` tells, the labels with the most jobs first."""

    basis: Basis
    whole: Waits
    hours: tuple[HourWaits, ...]
    labels: tuple[LabelWaits, ...]
    as_of: AsOf


Counts = dict[int, int]


def queues(db: Database, window: Window) -> Queues:
    """Return how long the jobs of the window's runs waited, each attempt's for itself."""
    rows = db.heavy(_counted(window))
    whole, hours, labels = aside(_gathered, rows)
    excluded = _left_out(db, window.scope)
    return Queues(Basis(window, whole.n, excluded, coverage(db, window)), whole, hours, labels, window.as_of)


def _counted(window: Window) -> Query:
    """Select how often each wait occurs, by labels and by hour of the day in the window's zone."""
    waited = jobs.c.started_at - jobs.c.created_at
    seconds = sa.case((waited < 0, 0), else_=waited)
    *changes, (_, last) = offsets_in(window.zone, window.from_at, window.as_of.timestamp)
    until = [(jobs.c.created_at < at, sa.literal(offset, sa.Integer)) for at, offset in changes]
    shift = sa.case(*until, else_=sa.literal(last, sa.Integer)) if until else sa.literal(last, sa.Integer)
    hour = (jobs.c.created_at + shift) // 3600 % HOURS
    one = (
        sa.select(jobs.c.labels, hour.label("hour"), seconds.label("seconds"))
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .where(waited >= -STAMP_SLACK_SECONDS, *_ran(), *where(window.scope))
        .subquery()
    )
    return sa.select(one, sa.func.count()).group_by(one.c.labels, one.c.hour, one.c.seconds)


def _ran() -> tuple[sa.ColumnElement[bool], ...]:
    # One that still waits carries the moment of its creation as its start.
    begun = jobs.c.status.in_(["in_progress", "completed"])
    nothing = sa.and_(sa.func.coalesce(jobs.c.conclusion, "") == "cancelled", jobs.c.steps == "[]")
    return begun, sa.func.coalesce(jobs.c.conclusion, "") != "skipped", sa.not_(nothing)


def _left_out(db: Database, scope: Scope) -> tuple[Exclusion, ...]:
    """Return how many jobs have no wait of their own: a rerun copies passed jobs, new `created_at`, old start."""
    waited = jobs.c.started_at - jobs.c.created_at
    copied = sa.func.count(sa.case((waited < -STAMP_SLACK_SECONDS, 1)))
    unknown = sa.func.count(sa.case((waited.is_(None), 1)))
    query: Query = sa.select(copied, unknown).join_from(runs, jobs, jobs.c.run_id == runs.c.id)
    counts = db.heavy(query.where(*_ran(), *where(scope)))[0]
    names = ("copied_by_a_rerun", "times_unknown")
    return tuple(Exclusion(name, count) for name, count in zip(names, counts, strict=True) if count)


def offsets_in(zone: ZoneInfo, from_at: int, to_at: int) -> list[tuple[int, int]]:
    """Return (until, offset from UTC in seconds) for each stretch of the zone's clock that touches [from_at, to_at)."""
    found: list[tuple[int, int]] = []
    at, known = from_at, _offset(zone, from_at)
    while at < to_at:
        following = min(at + DAY_SECONDS, to_at)
        if _offset(zone, following) != known:
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == known else (low, middle)
            found.append((high, known))
            known = _offset(zone, high)
            following = high
        at = following
    return [*found, (to_at, known)]


def _offset(zone: ZoneInfo, at: int) -> int:
    return int((datetime.fromtimestamp(at, zone).utcoffset() or timedelta()).total_seconds())


def _gathered(
    rows: Iterable[tuple[str, int, int, int]],
) -> tuple[Waits, tuple[HourWaits, ...], tuple[LabelWaits, ...]]:
    by_label: dict[tuple[str, ...], list[Counts]] = {}
    hours: list[Counts] = [{} for _ in range(HOURS)]
    for text, hour, seconds, count in rows:
        labels = tuple(sorted(json.loads(text)))
        own = by_label.setdefault(labels, [{} for _ in range(HOURS)])[hour]
        for one in (own, hours[hour]):
            one[seconds] = one.get(seconds, 0) + count
    found = [
        LabelWaits(*_waits(_merged(own)), labels, tuple(_by_hour(own)))
        for labels, own in by_label.items()
    ]  # fmt: skip
    ranked = sorted(found, key=lambda one: (-one.n, one.labels))
    return Waits(*_waits(_merged(hours))), tuple(_by_hour(hours)), tuple(ranked)


def _by_hour(hours: Iterable[Counts]) -> list[HourWaits]:
    return [HourWaits(*_waits(counts), hour) for hour, counts in enumerate(hours)]


def _merged(hours: Iterable[Counts]) -> Counts:
    whole: Counts = {}
    for counts in hours:
        for seconds, count in counts.items():
            whole[seconds] = whole.get(seconds, 0) + count
    return whole


def _waits(counts: Mapping[int, int]) -> tuple[int, float | None, float | None, float | None, float | None]:
    pairs = list(counts.items())
    median, p90, p95 = (percentile(pairs, fraction) for fraction in (0.5, 0.9, 0.95))
    return sum(counts.values()), median, p90, p95, max(counts, default=None)
