"""Red streaks and how long they lasted (METRICS: "Incidents and recovery")."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipemon.analytics.stats import Bucket, estimates, percentile
from pipemon.analytics.trends import Point


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the recovered incidents of a window lasted, in seconds; None without any."""

    n: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None


def recovery(counted: Iterable[tuple[int, int]]) -> Recovery:
    """Return mean, median and p90 of how long recovered incidents lasted: of seconds, and how often each occurs.

    Open ones have no place here.
    """
    pairs = [(float(value), count) for value, count in counted]
    n = sum(count for _, count in pairs)
    if n == 0:
        return Recovery(0)
    mean = sum(value * count for value, count in pairs) / n
    return Recovery(n, mean, percentile(pairs, 0.5), percentile(pairs, 0.9))


def recovery_of_buckets(buckets: Sequence[Bucket]) -> Recovery:
    """Return the same of seconds in buckets: median and p90 within 0.8 %, the rest exact."""
    n = sum(one.n for one in buckets)
    if n == 0:
        return Recovery(0)
    pairs = estimates(buckets)
    return Recovery(n, sum(one.total for one in buckets) / n, percentile(pairs, 0.5), percentile(pairs, 0.9))


def mean_by_period(parts: Iterable[tuple[int, int, int]], starts: Sequence[int]) -> list[Point]:
    """Return the mean minutes to recovery per period; 0 in a period without any.

    `parts` are (moment, how many, seconds together) of stretches that no period's start cuts in two.
    """
    counts, sums = [0] * len(starts), [0] * len(starts)
    for at, count, seconds in parts:
        place = max(0, bisect_right(starts, at) - 1)
        counts[place] += count
        sums[place] += seconds
    return [
        Point(start, round(total / n / 60, 2) if n else 0.0, n)
        for start, n, total in zip(starts, counts, sums, strict=True)
    ]
