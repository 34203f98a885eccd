"""Where a series of values shifts: a robust test by ranks, and a least size so that noise is no alarm.

At each place the ranks before and after it are compared (Wilcoxon, Mann and Whitney), scaled by their spread; the
largest of these must pass LEAST_Z. Values that follow their neighbours make any series wander: the scale is widened
by how much the ranks do so. One outlier, or ten, move nothing. Each side is then looked through again by itself.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

# So many values stand on each side of a shift, at least.
LEAST_SIDE = 10
# Noise alone passes this in 1 series of 100, in 2 where neighbours are much alike (tests/analytics/test_shifts.py).
LEAST_Z = 4.0
MOST_SHIFTS = 4


@dataclass(frozen=True, slots=True)
class Measure:
    """What is looked at, and the least shift that is told: of its level, absolute and relative to the one before."""

    name: str
    unit: str
    least_absolute: float
    least_relative: float
    level: Callable[[Numbers], float]


def _median(values: Numbers) -> float:
    return float(np.median(values))


DURATION = Measure("duration", "seconds", 10, 0.2, _median)
QUEUE_TIME = Measure("queue_time", "seconds", 30, 0.5, _median)
FAILURE_RATE = Measure("failure_rate", "percent", 15, 0.0, lambda values: float(values.mean()) * 100)


@dataclass(frozen=True, slots=True)
class Shift:
    """The level changes from the value at `place` on, counted from 0, until the one at `until`; None: it lasts."""

    place: int
    before: float
    after: float
    n_before: int
    n_after: int
    z: float
    until: int | None

    @property
    def is_worse(self) -> bool:
        """Whether the level rose: less is better in all that is measured."""
        return self.after > self.before


def shifts(series: Sequence[float] | Numbers, measure: Measure) -> list[Shift]:
    """Return the shifts of a series in the order of time."""
    values = np.asarray(series, float)
    found: dict[int, float] = {}
    _search(values, 0, len(values), found)
    edges = _settled(values, [0, *sorted(found), len(values)], found)
    # What is too small to be told parts nothing either.
    large = [place for begin, place, end in _threes(edges) if _levels(values, begin, place, end, measure)]
    told = []
    for begin, place, end in _threes([0, *large, len(values)]):
        if levels := _levels(values, begin, place, end, measure):
            until = end if end < len(values) else None
            told.append(Shift(place, *levels, place - begin, end - place, found[place], until))
    return told


def may_shift(series: Sequence[Numbers]) -> list[bool]:
    """Return of each series whether it may have a shift: most have none, and all together they are soon looked through.

    That is where ranks differ enough in what `shifts` looks at first, before it asks how alike neighbours are.
    """
    told = [False] * len(series)
    owners, windows = list[int](), list[Numbers]()
    for number, values in enumerate(series):
        for first, last in _windows(0, len(values)):
            owners.append(number)
            windows.append(values[first:last])
    if windows:
        for owner, z in zip(owners, _most(windows), strict=True):
            # A little less: what is as good as LEAST_Z is looked at exactly.
            told[owner] |= z >= LEAST_Z - 1e-6
    return told


def _most(windows: Sequence[Numbers]) -> list[float]:
    """Return the largest z of each of several series, all of them worked out in one."""
    lengths = np.array([len(one) for one in windows])
    starts = np.cumsum(lengths) - lengths
    row, values = np.repeat(np.arange(len(windows)), lengths), np.concatenate(windows)
    order = _by_row(row, values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate(([True], (ordered[1:] != ordered[:-1]) | (row[1:] != row[:-1]))))
    equals = np.diff(np.append(first, len(values)))
    n, place = lengths[row], np.arange(len(values)) - starts[row] + 1
    above = np.empty(len(values))  # by how much each rank is above the middle one
    above[order] = np.repeat(first + (equals + 1) / 2, equals) - starts[row] - (n + 1) / 2
    spread = np.add.reduceat(above * above, starts) / (lengths - 1)
    sums = np.cumsum(above)
    deviations = np.abs(sums - (sums - above)[starts][row])
    inside = (place >= LEAST_SIDE) & (place <= n - LEAST_SIDE) & (spread[row] > 0)
    z = np.zeros(len(values))
    np.divide(deviations, np.sqrt(spread[row] * place * (n - place) / n), out=z, where=inside)
    found: list[float] = np.maximum.reduceat(z, starts).tolist()
    return found


def _by_row(row: Numbers, values: Numbers) -> Numbers:
    """Return the order of the values within each row; of whole numbers as one key, which is sorted far quicker."""
    if values.dtype.kind not in "ib":
        return np.lexsort((values, row))
    key = row * np.int64(1 << 32) + values
    return np.argsort(key)


def _threes(edges: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    return zip(edges, edges[1:], edges[2:], strict=False)


def _search(values: Numbers, begin: int, end: int, found: dict[int, float]) -> None:
    for first, last in _windows(begin, end):
        if len(found) >= MOST_SHIFTS:
            return
        place, z = _split(values[first:last], LEAST_Z)
        if z >= LEAST_Z:
            found[first + place] = round(z, 1)
            _search(values, begin, first + place, found)
            _search(values, first + place, end, found)
            return


def _windows(begin: int, end: int) -> list[tuple[int, int]]:
    """Return where to look: up and down again hide each other in the whole, two thirds show one of them."""
    third = (end - begin) // 3
    wanted = ((begin, end), (begin, end - third), (begin + third, end))
    return [(first, last) for first, last in wanted if last - first >= 2 * LEAST_SIDE]


def _levels(values: Numbers, begin: int, place: int, end: int, measure: Measure) -> tuple[float, float] | None:
    """Return the levels before and after a place; None where they differ too little to be told."""
    before, after = measure.level(values[begin:place]), measure.level(values[place:end])
    size = abs(after - before)
    is_large = size >= measure.least_absolute and size >= measure.least_relative * min(before, after)
    return (before, after) if is_large else None


def _settled(values: Numbers, edges: list[int], found: dict[int, float]) -> list[int]:
    """Return the edges, each put where its own two sides differ the most: it was found among other shifts."""
    for number in range(1, len(edges) - 1):
        begin, end = edges[number - 1], edges[number + 1]
        if end - begin >= 2 * LEAST_SIDE:
            place, z = best_split(values[begin:end])
            if begin < begin + place < end:
                edges[number] = begin + place
                found[begin + place] = round(z, 1)
    return edges


def best_split(values: Sequence[float] | Numbers) -> tuple[int, float]:
    """Return the place whose two sides differ the most, and by how many standard deviations of chance."""
    return _split(np.asarray(values, float), 0.0)


def _split(values: Numbers, least: float) -> tuple[int, float]:
    """Return the same, but for a z below `least` one that may be too large, and is below it too."""
    n = len(values)
    ranks = _ranks(values)
    spread = float(((ranks - (n + 1) / 2) ** 2).sum()) / (n - 1)
    if not spread:
        return 0, 0.0
    places = np.arange(LEAST_SIDE, n - LEAST_SIDE + 1)
    deviations = np.cumsum(ranks)[places - 1] - places * ((n + 1) / 2)
    z = np.abs(deviations) / np.sqrt(spread * places * (n - places) / n)
    best = int(np.argmax(z))
    place, most = int(places[best]), float(z[best])
    return (place, most) if most < least else (place, most / math.sqrt(_widening(ranks, place)))


def _ranks(values: Numbers) -> Numbers:
    """Return the ranks from 1, equal values sharing theirs."""
    ordered = np.sort(values)
    ranks: Numbers = (np.searchsorted(ordered, values) + 1 + np.searchsorted(ordered, values, "right")) / 2
    return ranks


def _widening(ranks: Numbers, place: int) -> float:
    """Return by how much the variance of a mean grows because neighbours are alike.

    The smaller of two estimates: over what is left when the shift is taken out, which other shifts distort; and by the
    differences of neighbours, and of every other value, which a shift of clean values distorts.
    """
    rest = np.concatenate((ranks[:place] - ranks[:place].mean(), ranks[place:] - ranks[place:].mean()))
    whole = float((rest * rest).sum())
    near = float((np.diff(ranks) ** 2).mean())
    far = float(((ranks[:-2] - ranks[2:]) ** 2).mean())
    by_rest = float((rest[:-1] * rest[1:]).sum()) / whole if whole else 0.0
    by_differences = far / near - 1 if near else 0.0
    alike = min(0.9, max(0.0, min(by_rest, by_differences)))
    return (1 + alike) / (1 - alike)
