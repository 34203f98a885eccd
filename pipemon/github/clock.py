"""GitHub's time: its Date header carried on by the monotonic clock, so that a step of the local clock moves nothing."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime


def parse_http_date(text: str | None) -> int | None:
    """Return the Unix second of an HTTP date, or None where it is none (or lies outside of 2000 to 2100)."""
    if not text or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return int(moment) if 946_684_800 <= moment < 4_102_444_800 else None


class GitHubClock:
    """Tells GitHub's time in Unix seconds: never ahead of it once an answer was seen, late by a second at most.

    Before the first answer it is the local `clock` as it stood at the start.
    """

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._seen = False
        self._set(clock())

    def now(self) -> float:
        """Return GitHub's time."""
        return self._base + self._monotonic() - self._base_at

    def ahead_seconds(self) -> int:
        """Return by how many seconds GitHub's time is ahead of the local clock; less than two is none."""
        ahead = self.now() - self._clock()
        return 0 if abs(ahead) < 2 else round(ahead)

    def observe(self, date: int, elapsed_seconds: float) -> int:
        """Take in the Date of an answer that came just now, to a request sent `elapsed_seconds` ago.

        Return by how many seconds the first one has moved the time, later ones 0. The header has whole seconds,
        cut off: the true time lies within [date, date + 1 + elapsed].
        """
        first, moved = not self._seen, round(date - self.now())
        if first or not date <= self.now() <= date + 1 + elapsed_seconds:
            self._set(date)
        self._seen = True
        return moved if first and abs(moved) >= 2 else 0

    def _set(self, moment: float) -> None:
        self._base = float(moment)
        self._base_at = self._monotonic()
