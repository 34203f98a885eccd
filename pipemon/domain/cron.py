"""Times of day in cron's five fields: minute, hour, day of the month, month, day of the week."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# The fields with their bounds; 7 is Sunday too.
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# The 29th of February comes every four years, or eight.
LONGEST_DAYS = 366 * 8 + 2


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due. As in cron, a day fits by either of its two fields where both are restricted."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def latest(self, now: float, zone: ZoneInfo) -> int | None:
        """Return the newest due moment that is not after `now`, in Unix seconds; None where there is none at all.

        An hour that the clock skips is due when it would have been; one that comes twice is due once.
        """
        today = datetime.fromtimestamp(now, zone).date()
        for back in range(-1, LONGEST_DAYS):
            day = today - timedelta(days=back)
            if day.month not in self.months or not self._has(day.day, day.isoweekday() % 7):
                continue
            for hour in sorted(self.hours, reverse=True):
                for minute in sorted(self.minutes, reverse=True):
                    at = int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp())
                    if at <= now:
                        return at
        return None

    def _has(self, day: int, weekday: int) -> bool:
        by_day, by_weekday = day in self.days, weekday in self.weekdays
        return by_day and by_weekday if self.any_day or self.any_weekday else by_day or by_weekday


def parse_cron(text: str) -> Cron:
    """Return what five fields say: `*`, numbers, names of weekdays, ranges, lists, steps. Raises ValueError."""
    parts = text.lower().split()
    if len(parts) != len(FIELDS):
        raise ValueError("five fields are wanted: minute, hour, day, month, weekday")
    sets = [_field(part, low, high) for part, (_, low, high) in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(number % 7 for number in sets[4])
    return Cron(text, sets[0], sets[1], sets[2], sets[3], weekdays, parts[2] == "*", parts[4] == "*")


def _field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = low if span == "*" else _number(first, low, high)
        end = high if span == "*" or (step and not dash) else _number(last if dash else first, low, high)
        if begin > end:
            raise ValueError(f"{part} ends before it begins")
        found.update(range(begin, end + 1, _number(step, 1, high) if step else 1))
    return frozenset(found)


def _number(text: str, low: int, high: int) -> int:
    number = (
        WEEKDAYS.index(text)
        if high == 7 and text in WEEKDAYS
        else int(text)
        if text.isascii() and text.isdecimal()
        else -1
    )
    if not low <= number <= high:
        raise ValueError(f"{text or 'nothing'} is not from {low} to {high}")
    return number
