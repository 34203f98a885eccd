"""Where a series of values shifts: a robust test by ranks, and a least size so that noise is no alarm.

At each place the ranks before and after it are compared (Wilcoxon, Mann and Whitney), scaled by their spread; the
largest of these must pass LEAST_Z. Values that follow their neighbours make any series wander: the scale is widened
by how much the ranks do so. One outlier, or ten, move nothing. Each side is then looked through again by itself.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

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
    level: Callable[[Sequence[float]], float]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _median(values: Sequence[float]) -> float:
    return float(median(values))


DURATION = Measure("duration", "seconds", 10, 0.2, _median)
QUEUE_TIME = Measure("queue_time", "seconds", 30, 0.5, _median)
FAILURE_RATE = Measure("failure_rate", "percent", 15, 0.0, lambda values: _mean(values) * 100)


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


def shifts(values: Sequence[float], measure: Measure) -> list[Shift]:
    """Return the shifts of a series in the order of time."""
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


def _threes(edges: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    return zip(edges, edges[1:], edges[2:], strict=False)


def _search(values: Sequence[float], begin: int, end: int, found: dict[int, float]) -> None:
    third = (end - begin) // 3
    # Up and down again hide each other in the whole: two thirds show one of them.
    for first, last in ((begin, end), (begin, end - third), (begin + third, end)):
        if last - first < 2 * LEAST_SIDE or len(found) >= MOST_SHIFTS:
            continue
        place, z = best_split(values[first:last])
        if z >= LEAST_Z:
            found[first + place] = round(z, 1)
            _search(values, begin, first + place, found)
            _search(values, first + place, end, found)
            return


def _levels(values: Sequence[float], begin: int, place: int, end: int, measure: Measure) -> tuple[float, float] | None:
    """Return the levels before and after a place; None where they differ too little to be told."""
    before, after = measure.level(values[begin:place]), measure.level(values[place:end])
    size = abs(after - before)
    is_large = size >= measure.least_absolute and size >= measure.least_relative * min(before, after)
    return (before, after) if is_large else None


def _settled(values: Sequence[float], edges: list[int], found: dict[int, float]) -> list[int]:
    """Return the edges, each put where its own two sides differ the most: it was found among other shifts."""
    for number in range(1, len(edges) - 1):
        begin, end = edges[number - 1], edges[number + 1]
        if end - begin >= 2 * LEAST_SIDE:
            place, z = best_split(values[begin:end])
            if begin < begin + place < end:
                edges[number] = begin + place
                found[begin + place] = round(z, 1)
    return edges


def best_split(values: Sequence[float]) -> tuple[int, float]:
    """Return the place whose two sides differ the most, and by how many standard deviations of chance."""
    n = len(values)
    ranks, spread = _ranks(values)
    if not spread:
        return 0, 0.0
    best, best_z, below = LEAST_SIDE, 0.0, 0.0
    for place in range(1, n - LEAST_SIDE + 1):
        below += ranks[place - 1]
        if place < LEAST_SIDE:
            continue
        deviation = below - place * (n + 1) / 2
        z = abs(deviation) / math.sqrt(spread * place * (n - place) / n)
        if z > best_z:
            best, best_z = place, z
    return best, best_z / math.sqrt(_widening(ranks, best))


def _ranks(values: Sequence[float]) -> tuple[list[float], float]:
    """Return the ranks from 1, equal values sharing theirs, and their variance."""
    n = len(values)
    order = sorted(range(n), key=values.__getitem__)
    ranks = [0.0] * n
    begin = 0
    while begin < n:
        end = begin
        while end < n and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            ranks[place] = (begin + 1 + end) / 2
        begin = end
    middle = (n + 1) / 2
    return ranks, sum((rank - middle) ** 2 for rank in ranks) / (n - 1)


def _widening(ranks: Sequence[float], place: int) -> float:
    """Return by how much the variance of a mean grows because neighbours are alike.

    The smaller of two estimates: over what is left when the shift is taken out, which other shifts distort; and by the
    differences of neighbours, and of every other value, which a shift of clean values distorts.
    """
    n = len(ranks)
    before, after = _mean(ranks[:place]), _mean(ranks[place:])
    rest = [rank - (before if number < place else after) for number, rank in enumerate(ranks)]
    whole = sum(one * one for one in rest)
    near = sum((one - other) ** 2 for one, other in pairwise(ranks)) / (n - 1)
    far = sum((ranks[number] - ranks[number + 2]) ** 2 for number in range(n - 2)) / (n - 2)
    by_rest = sum(one * other for one, other in pairwise(rest)) / whole if whole else 0.0
    by_differences = far / near - 1 if near else 0.0
    alike = min(0.9, max(0.0, min(by_rest, by_differences)))
    return (1 + alike) / (1 - alike)
