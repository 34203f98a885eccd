"""Arithmetic on columns: numbers in arrays, groups as codes from 0."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipemon.analytics.stats import Summary

Array: TypeAlias = NDArray[Any]

NOTHING: Array = np.empty(0, "i8")
# Codes may be so much sparser than their places before it is quicker to sort them.
MOST_SPARSE = 1_000_000
# A table of counts may have so many cells before its values are rounded.
MOST_CELLS = 4_000_000


def count(codes: Array, size: int, wanted: Array | None = None) -> Array:
    """Return how often each code occurs among the wanted places."""
    return np.bincount(codes if wanted is None else codes[wanted], minlength=size)


def total(codes: Array, size: int, values: Array) -> Array:
    """Return the sum of the values of each code. Exact: whole numbers, far below 2^53."""
    return np.bincount(codes, weights=values, minlength=size).astype("i8")


def sum_up(counts: Sequence[Array], size: int) -> Array:
    """Return the sums of several arrays; those that are shorter have nothing at their end."""
    found: Array = np.zeros(size, "i8")
    for one in counts:
        found[: len(one)] += one
    return found


def percentile(values: Array, fraction: float) -> float | None:
    """Return the percentile as `stats.percentile` does: by linear interpolation between ranks; None without values."""
    return _percentiles(values, (fraction,))[0] if len(values) else None


def _percentiles(values: Array, fractions: Sequence[float]) -> list[float]:
    ranks = [fraction * (len(values) - 1) for fraction in fractions]
    ends = [(int(rank), min(int(rank) + 1, len(values) - 1)) for rank in ranks]
    placed = np.partition(values, sorted({place for pair in ends for place in pair}))
    return [
        _between(placed[low].item(), placed[high].item(), rank) for (low, high), rank in zip(ends, ranks, strict=True)
    ]


def _between(low: float, high: float, rank: float) -> float:
    return low + (high - low) * (rank - int(rank))


def percentiles(keys: Array, values: Array, counts: Array, fraction: float) -> dict[int, float]:
    """Return the percentile of each key's values, each so often as it is counted: whole numbers from 0, below 2^31."""
    # They come as a few stretches, each in order.
    order = np.argsort(keys.astype("i8") << 32 | values, kind="stable")
    key, value, upto = keys[order], values[order], np.cumsum(counts[order])
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    before = np.concatenate(([0], upto))[begins]
    n = np.diff(before, append=upto[-1:])
    ranks = fraction * (n - 1)
    low = before + ranks.astype("i8")
    high = np.minimum(low + 1, before + n - 1)
    first, second = (value[np.searchsorted(upto, each, "right")] for each in (low, high))
    found = first + (second - first) * (ranks - ranks.astype("i8"))
    return dict(zip(key[begins].tolist(), found.tolist(), strict=True))


def tallied(values: Array) -> tuple[Array, Array]:
    """Return the different values, whole numbers from 0 up, and how often each occurs."""
    if int(values.max(initial=0)) > MOST_SPARSE:
        different, counts = np.unique(values, return_counts=True)
        return different, counts
    counts = np.bincount(values)
    different = np.flatnonzero(counts)
    return different, counts[different]


def summary(tallies: Sequence[tuple[Array, Array]]) -> Summary:
    """Return what can be said of values that were tallied, exactly."""
    place, values = dense(np.concatenate([values for values, _ in tallies])) if tallies else (NOTHING, NOTHING)
    if not len(values):
        return Summary(0)
    upto = np.cumsum(total(place, len(values), np.concatenate([counts for _, counts in tallies])))
    n = int(upto[-1])
    mean = int((values * np.diff(upto, prepend=0)).sum()) / n
    median, p95 = (_ranked(values, upto, fraction * (n - 1)) for fraction in (0.5, 0.95))
    return Summary(n, mean, median, p95, int(values[0]), int(values[-1]))


def _ranked(values: Array, upto: Array, rank: float) -> float:
    """Return the value at a rank, between two of them by linear interpolation; `upto` counts the values up to each."""
    low, high = np.searchsorted(upto, (int(rank), min(int(rank) + 1, int(upto[-1]) - 1)), "right")
    return _between(values[low].item(), values[high].item(), rank)


def largest(values: Array, ids: Array, most: int) -> Array:
    """Return the places of the largest values, the largest first; of equal ones that of the higher id is first."""
    if len(values) > most:
        least = np.partition(values, len(values) - most)[len(values) - most]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    found: Array = places[np.lexsort((-ids[places], -values[places]))][:most]
    return found


def dense(codes: Array) -> tuple[Array, Array]:
    """Return the codes numbered anew without holes, in their order, and which each new number was."""
    most = int(codes.max(initial=-1)) + 1
    if most > MOST_SPARSE + 8 * len(codes):
        present, again = np.unique(codes, return_inverse=True)
        return again, present
    is_present = np.zeros(most, bool)
    is_present[codes] = True
    numbers = np.cumsum(is_present) - 1
    return numbers[codes], np.flatnonzero(is_present)


def number(columns: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Return the number of each place's group, and the codes of the groups by column, in their order."""
    sizes = [int(column.max(initial=-1)) + 1 for column in columns]
    if 0 < math.prod(sizes) <= MOST_SPARSE:
        key, present = dense(np.ravel_multi_index(tuple(columns), sizes))
        return key, list(np.unravel_index(present, sizes))
    key, present = dense(columns[0])
    codes = [present]
    for column in columns[1:]:
        own, present = dense(column)
        key, kept = dense(key * len(present) + own)
        before, last = np.divmod(kept, len(present)) if len(present) else (kept, kept)
        codes = [*(one[before] for one in codes), present[last]]
    return key, codes


class Spread:
    """How often (`counts`) each value occurs for each key, from 0 to `size`: percentiles of any keys together.

    Exact, unless so many keys have so many different values that they are taken by buckets: then within 0.8 %.
    """

    def __init__(self, keys: Array, size: int, values: Array, counts: Array) -> None:
        places, self._values = dense(values)
        if size * len(self._values) > MOST_CELLS:
            places, self._values = dense(rounded(values))
            self._values = self._values + (step_of(self._values) - 1) / 2
        cells = size * len(self._values)
        self._counts = total(keys * len(self._values) + places, cells, counts).reshape(size, -1 if cells else 0)

    def of(self, keys: Sequence[int], fractions: Sequence[float]) -> tuple[int, list[float | None], float | None]:
        """Return how many values these keys have together, their percentiles, and the largest."""
        counts = self._counts[np.asarray(keys, "i8")].sum(axis=0)
        upto = np.cumsum(counts)
        n = int(upto[-1]) if len(upto) else 0
        if n == 0:
            return 0, [None] * len(fractions), None
        ranks = [fraction * (n - 1) for fraction in fractions]
        found = [_between(self._at(upto, int(rank)), self._at(upto, min(int(rank) + 1, n - 1)), rank) for rank in ranks]
        return n, [*found], self._at(upto, n - 1)

    def _at(self, upto: Array, rank: int) -> float:
        value: float = self._values[np.searchsorted(upto, rank, "right")].item()
        return value


def places(moments: Array, starts: Sequence[int]) -> Array:
    """Return the place of the period that each moment lies in; the moments are in order. Before the first is in it."""
    ends = np.searchsorted(moments, np.array(starts[1:], "i8"), "left")
    found: Array = np.repeat(np.arange(len(starts)), np.diff(ends, prepend=0, append=len(moments)))
    return found


def step_of(values: Array) -> Array:
    """Return how wide the bucket of each value is: 64 an octave, each number of its own below 128."""
    step: Array = np.left_shift(1, np.maximum(np.frexp(values.astype("f8"))[1] - 7, 0))
    return step


def rounded(values: Array) -> Array:
    """Return where the bucket of each value begins."""
    found: Array = values - values % step_of(values)
    return found
