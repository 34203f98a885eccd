"""How long jobs waited for a runner: by the labels that they asked for, and by the hour."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from pipemon.analytics.arrays import Array, Spread
from pipemon.queries.columns import END
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.verdicts import COPIED, UNKNOWN
from pipemon.queries.window import DAY_SECONDS, Basis, Exclusion, Window, coverage

HOURS = 24
FRACTIONS = (0.5, 0.9, 0.95)


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


def queues(db: Source, window: Window) -> Queues:
    """Return how long the jobs of the window's runs waited, each attempt's for itself."""
    db = Look.at(db)
    offsets = offsets_in(window.zone, window.from_at, window.as_of.timestamp)
    offsets[-1] = (END, offsets[-1][1])  # the same for every window: what is made of whole days is kept
    whole, hours, labels, counts = over(db, "jobs", window.scope, _gathered, offsets)
    names = ("copied_by_a_rerun", "times_unknown")
    excluded = tuple(Exclusion(name, n) for name, n in zip(names, counts, strict=True) if n)
    return Queues(Basis(window, whole.n, excluded, coverage(db, window)), whole, hours, labels, window.as_of)


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
    rows: Rows, offsets: list[tuple[int, int]]
) -> tuple[Waits, tuple[HourWaits, ...], tuple[LabelWaits, ...], tuple[int, ...]]:
    """Return the waits of all, by hour and by labels, and how many jobs have none of their own: copied, unknown."""

    groups, (n,) = rows.grouped(("labels", "hour", "waited"), _by_hour_of, tuple(offsets))
    texts = {text: number for number, text in enumerate(dict.fromkeys(text for text, _, _ in groups))}
    keys = np.array([texts[text] * HOURS + hour for text, hour, _ in groups], "i8")
    spread = Spread(keys, len(texts) * HOURS, np.array([seconds for _, _, seconds in groups], "i8"), n)
    # The same labels in another order are the same.
    by_labels: dict[tuple[str, ...], list[int]] = {}
    for text, number in texts.items():
        by_labels.setdefault(tuple(sorted(json.loads(text))), []).append(number)
    found = [LabelWaits(*_waits(spread, own), labels, _by_hour(spread, own)) for labels, own in by_labels.items()]
    every = range(len(texts))
    counts = tuple(sum(part.kept(_without_wait, why) for part in rows.parts) for why in (COPIED, UNKNOWN))
    ranked = sorted(found, key=lambda one: (-one.n, one.labels))
    return Waits(*_waits(spread, every)), _by_hour(spread, every), tuple(ranked), counts


def _by_hour_of(part: Rows, offsets: Sequence[tuple[int, int]]) -> Measured:
    some = part.where(part["waited"] >= 0)
    return some.adding("hour", _hours(some["job_created_at"], offsets)), [None]


def _without_wait(part: Rows, why: int) -> int:
    return int((part["waited"] == why).sum())


def _hours(created: Array, offsets: Sequence[tuple[int, int]]) -> Array:
    """Return the hour of the day of each moment, on a clock with these offsets (until, seconds)."""
    until, shift = (np.array(column, "i8") for column in zip(*offsets, strict=True))
    place = np.minimum(np.searchsorted(until, created, "right"), len(offsets) - 1)
    found: Array = (created + shift[place]) // 3600 % HOURS
    return found


def _by_hour(spread: Spread, labels: Iterable[int]) -> tuple[HourWaits, ...]:
    return tuple(HourWaits(*_waits(spread, labels, [hour]), hour) for hour in range(HOURS))


def _waits(
    spread: Spread, labels: Iterable[int], hours: Iterable[int] = range(HOURS)
) -> tuple[int, float | None, float | None, float | None, float | None]:
    n, (median, p90, p95), longest = spread.of([label * HOURS + hour for label in labels for hour in hours], FRACTIONS)
    return n, median, p90, p95, longest
