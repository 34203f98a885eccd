"""Numbers about many durations: exact, from each distinct value and how often it occurs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# The standard normal distribution's 97.5th percentile.
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Summary:
    """What can be said of `n` values; all None where there is none. The unit is that of the values."""

    n: int
    mean: float | None = None
    median: float | None = None
    p95: float | None = None
    smallest: float | None = None
    largest: float | None = None


def percentile(counted: Iterable[tuple[float, int]], fraction: float) -> float | None:
    """Return the percentile by linear interpolation between ranks (SQL's PERCENTILE_CONT); None without values.

    `counted` pairs each value with how often it occurs; `fraction` is 0 to 1.
    """
    ordered = sorted((value, count) for value, count in counted if count > 0)
    n = sum(count for _, count in ordered)
    if n == 0:
        return None
    rank = fraction * (n - 1)
    low = _at(ordered, int(rank))
    high = _at(ordered, min(int(rank) + 1, n - 1))
    return low + (high - low) * (rank - int(rank))


def percentiles_of(values: npt.NDArray[Any], *fractions: float) -> list[float | None]:
    """Return the same of an array of numbers: a percentile for each fraction."""
    if not len(values):
        return [None for _ in fractions]
    ranks = [fraction * (len(values) - 1) for fraction in fractions]
    last = len(values) - 1
    ends = [(int(rank), min(int(rank) + 1, last)) for rank in ranks]
    placed = np.partition(values, sorted({place for two in ends for place in two}))
    pairs = [
        (placed[low].item(), placed[high].item(), rank - int(rank))
        for (low, high), rank in zip(ends, ranks, strict=True)
    ]
    return [low + (high - low) * share for low, high, share in pairs]


def _at(ordered: list[tuple[float, int]], rank: int) -> float:
    """Return the value at the rank, counted from 0."""
    for value, count in ordered:
        if rank < count:
            return value
        rank -= count
    raise IndexError(rank)


def summarize(counted: Iterable[tuple[float, int]]) -> Summary:
    """Return the summary of values that are paired with how often each occurs."""
    pairs = [(value, count) for value, count in counted if count > 0]
    n = sum(count for _, count in pairs)
    if n == 0:
        return Summary(0)
    mean = sum(value * count for value, count in pairs) / n
    values = [value for value, _ in pairs]
    return Summary(n, mean, percentile(pairs, 0.5), percentile(pairs, 0.95), min(values), max(values))


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval (Wilson's score) of a share, in percent; 0 to 100 where nothing was counted."""
    if not whole:
        return 0.0, 100.0
    share, square = part / whole, Z95 * Z95
    middle = share + square / (2 * whole)
    spread = Z95 * math.sqrt((share * (1 - share) + square / (4 * whole)) / whole)
    scale = 1 + square / whole
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return round(max(0.0, low) * 100, 2), round(min(1.0, high) * 100, 2)


def rate(part: int, whole: int) -> float:
    """Return the part as a percentage of the whole, to 2 decimals; 0 where the whole is 0."""
    return round(part / whole * 100, 2) if whole else 0.0
