"""Quiet hours of a rule: what it would tell within them waits until they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Quiet:
    """From one time of day to another, or to that of the next day, on the clock of a zone.

    `days` are those on which they begin, Monday is 0.
    """

    begin: time
    end: time
    zone: ZoneInfo
    days: frozenset[int] = frozenset(range(7))

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> "Quiet | None":
        """Return those that a rule holds as {from, to, tz, days}; they were checked when it was stored."""
        if values is None:
            return None
        begin, end = (time.fromisoformat(values[name]) for name in ("from", "to"))
        return cls(begin, end, ZoneInfo(values["tz"]), frozenset(DAYS.index(day) for day in values["days"]))


def awake_at(quiet: Quiet | None, at: float) -> float:
    """Return when a message that is due at this moment may go: then, or as soon as it is not quiet any more."""
    for _ in DAYS:  # one night may follow upon another
        end = None if quiet is None else _end(quiet, at)
        if end is None:
            return at
        at = end
    return at


def _end(quiet: Quiet, at: float) -> float | None:
    """Return when the quiet hours end that this moment is in; None where it is in none."""
    today = datetime.fromtimestamp(at, UTC).astimezone(quiet.zone).date()
    for day in (today, today - timedelta(days=1)):
        last = day if quiet.begin < quiet.end else day + timedelta(days=1)
        begin = datetime.combine(day, quiet.begin, quiet.zone).timestamp()
        end = datetime.combine(last, quiet.end, quiet.zone).timestamp()
        if day.weekday() in quiet.days and begin <= at < end:
            return end
    return None
