"""The calendar of a trend: where its periods begin in a time zone, and how counts fall into them."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

GRANULARITIES = ("hourly", "daily", "weekly")
HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Group:
    """Completed runs that ended alike. Seconds; `timed` have a duration."""

    conclusion: str | None
    count: int
    timed: int = 0
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """One period of a trend. `timestamp` is its start; `value` is 0 where `n`, what it was made of, is 0."""

    timestamp: int
    value: float
    n: int


def period_starts(from_at: int, to_at: int, granularity: str, zone: ZoneInfo) -> list[int]:
    """Return the starts of all periods that touch [from_at, to_at), in time order. Weeks begin on Monday.

    Days and weeks begin at midnight of the zone, so a day of 23 or 25 hours is one day. Hours are those of its clock.
    """
    if granularity == "hourly":
        return _hours(from_at, to_at, zone)
    step = timedelta(days=1 if granularity == "daily" else 7)
    day = datetime.fromtimestamp(from_at, zone).date()
    if granularity == "weekly":
        day -= timedelta(days=day.weekday())
    starts = []
    while (start := int(datetime.combine(day, time(), zone).timestamp())) < to_at:
        starts.append(start)
        day += step
    return starts


def _hours(from_at: int, to_at: int, zone: ZoneInfo) -> list[int]:
    starts: list[int] = []
    at = from_at
    while at < to_at:
        offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset() or timedelta()
        start = at - (at + int(offset.total_seconds())) % HOUR_SECONDS
        # Where the clock moves by half an hour, it does so at the end of an hour, and half a one follows.
        starts.append(max(start, at) if starts else start)
        at = start + HOUR_SECONDS
    return starts
