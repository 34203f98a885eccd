"""Red streaks and how long they lasted (METRICS: "Incidents and recovery")."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipemon.analytics.stats import percentile
from pipemon.analytics.trends import Point


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the recovered incidents of a window lasted, in seconds; None without any."""

    n: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None


def recovery(seconds: Iterable[int]) -> Recovery:
    """Return mean, median and p90 of how long recovered incidents lasted. Open ones have no place here."""
    counted = [(float(value), 1) for value in seconds]
    if not counted:
        return Recovery(0)
    mean = sum(value for value, _ in counted) / len(counted)
    return Recovery(len(counted), mean, percentile(counted, 0.5), percentile(counted, 0.9))


def mean_by_period(recovered: Iterable[tuple[int, int]], starts: Sequence[int]) -> list[Point]:
    """Return the mean minutes to recovery per period, of (recovered_at, seconds) pairs; 0 in a period without any."""
    periods: list[list[int]] = [[] for _ in starts]
    for at, seconds in recovered:
        periods[max(0, bisect_right(starts, at) - 1)].append(seconds)
    return [
        Point(start, round(sum(found) / len(found) / 60, 2) if found else 0.0, len(found))
        for start, found in zip(starts, periods, strict=True)
    ]
