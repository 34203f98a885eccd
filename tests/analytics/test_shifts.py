"""Noise is no alarm, and a shift is found where it is: measured over many series."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from pipemon.analytics.shifts import (
    DURATION,
    FAILURE_RATE,
    LEAST_SIDE,
    QUEUE_TIME,
    Measure,
    best_split,
    may_shift,
    shifts,
)

Noise = Callable[[random.Random, int], list[float]]


def lognormal(rng: random.Random, n: int) -> list[float]:
    return [300 * rng.lognormvariate(0, 0.2) for _ in range(n)]


def heavy(rng: random.Random, n: int) -> list[float]:
    return [300 * rng.paretovariate(2) * (5 if rng.random() < 0.05 else 1) for _ in range(n)]


def alike(rng: random.Random, n: int) -> list[float]:
    """Each value follows its neighbour, as on a busy day."""
    found, at = [], 0.0
    for _ in range(n):
        at = 0.6 * at + rng.gauss(0, 1)
        found.append(300 * math.exp(0.2 * at))
    return found


def waves(rng: random.Random, n: int) -> list[float]:
    return [300 * (1 + 0.3 * math.sin(place / 12 * math.pi)) * rng.uniform(0.85, 1.15) for place in range(n)]


def drift(rng: random.Random, n: int) -> list[float]:
    return [300 * (1 + 0.1 * place / n) * rng.uniform(0.8, 1.2) for place in range(n)]


def waits(rng: random.Random, n: int) -> list[float]:
    return [rng.choice([2, 3, 4, 5, 5, 6, 60, 300]) for _ in range(n)]


def fails(rate: float) -> Noise:
    return lambda rng, n: [float(rng.random() < rate) for _ in range(n)]


NOISES: dict[str, tuple[Noise, Measure]] = {
    "lognormal": (lognormal, DURATION), "heavy": (heavy, DURATION), "alike": (alike, DURATION),
    "waves": (waves, DURATION), "drift": (drift, DURATION), "waits": (waits, QUEUE_TIME),
    "5 % fail": (fails(0.05), FAILURE_RATE), "30 % fail": (fails(0.3), FAILURE_RATE),
}  # fmt: skip


def false_alarms(name: str, n: int, series: int) -> float:
    noise, measure = NOISES[name]
    return sum(bool(shifts(noise(random.Random(7 * seed + n), n), measure)) for seed in range(series)) / series


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("n", [30, 100, 200])
def test_noise_is_no_alarm(name: str, n: int) -> None:
    assert false_alarms(name, n, 200) <= 0.03


@pytest.mark.proof
@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("n", [30, 100, 200])
def test_noise_is_no_alarm_over_many_series(name: str, n: int) -> None:
    found = false_alarms(name, n, 5000)
    print(f"{name}, {n} runs: {100 * found:.2f} % false alarms")
    assert found <= 0.025


FOUND = [
    # noise, by how much, runs, from which on, found at least, and within three runs
    (lognormal, 1.5, 60, 30, 0.95, 0.9),
    (lognormal, 1.5, 200, 100, 0.99, 0.9),
    (lognormal, 1.5, 200, 188, 0.9, 0.8),
    (lognormal, 1.3, 200, 100, 0.95, 0.75),
    (heavy, 2, 200, 180, 0.9, 0.75),
    (alike, 2, 200, 100, 0.9, 0.75),
]


@pytest.mark.parametrize(("noise", "factor", "n", "at", "least", "near"), FOUND)
def test_a_shift_is_found_where_it_is(noise: Noise, factor: float, n: int, at: int, least: float, near: float) -> None:
    seeds, hits, close = 150, 0, 0
    for seed in range(seeds):
        values = noise(random.Random(seed), n)
        values = values[:at] + [value * factor for value in values[at:]]
        found = [one for one in shifts(values, DURATION) if one.is_worse]
        hits += bool(found)
        close += any(abs(one.place - at) <= 3 for one in found)
    assert hits >= least * seeds
    assert close >= near * seeds


def test_failures_that_begin() -> None:
    hits = 0
    for seed in range(100):
        rng = random.Random(seed)
        values = fails(0.05)(rng, 100) + fails(0.5)(rng, 100)
        hits += any(one.is_worse and abs(one.place - 100) <= 8 for one in shifts(values, FAILURE_RATE))
    assert hits >= 85


def test_a_shift_and_its_end() -> None:
    values = [100.0, 101, 102] * 20 + [200.0, 201, 202] * 20 + [100.0, 101, 102] * 20
    worse, better = shifts(values, DURATION)
    assert (worse.place, worse.until, worse.before, worse.after) == (60, 120, 101, 201)
    assert (better.place, better.until, better.is_worse) == (120, None, False)
    assert (worse.n_before, worse.n_after) == (60, 60)


@pytest.mark.parametrize(
    ("measure", "low", "high", "told"),
    [
        (DURATION, 100, 119, False), (DURATION, 100, 121, True), (DURATION, 10, 19, False), (DURATION, 10, 21, True),
        (QUEUE_TIME, 5, 34, False), (QUEUE_TIME, 5, 36, True), (QUEUE_TIME, 100, 149, False),
        (QUEUE_TIME, 100, 151, True),
    ],
)  # fmt: skip
def test_what_is_small_is_not_told(measure: Measure, low: float, high: float, told: bool) -> None:
    assert bool(shifts([low] * 50 + [high] * 50, measure)) == told


def test_outliers_and_short_series_move_nothing() -> None:
    assert shifts([100.0] * 90 + [9000.0] * 4, DURATION) == []
    assert shifts([100.0] * 9 + [900.0] * 9, DURATION) == []
    assert shifts([], DURATION) == shifts([5.0], DURATION) == shifts([5.0] * 100, DURATION) == []


def test_no_shift_is_lost_when_many_series_are_looked_through_at_once() -> None:
    rng = random.Random(1)
    asked: list[tuple[list[float], Measure]] = [([], DURATION), ([5.0] * 100, DURATION), ([5.0, 6.0] * 9, DURATION)]
    for noise, measure in NOISES.values():
        for number in range(24):
            values = noise(rng, rng.choice([12, 20, 29, 30, 31, 60]))
            at = rng.randrange(len(values))
            factor = rng.choice([2, 4]) if number % 2 else 1
            asked.append((values[:at] + [round(value * factor) for value in values[at:]], measure))
    may = may_shift([np.array(values, float) for values, _ in asked])
    found = [bool(shifts(values, measure)) for values, measure in asked]
    assert sum(found) > 10
    assert [number for number, told in enumerate(found) if told and not may[number]] == []
    assert sum(may) < len(asked) / 2
    assert may_shift([]) == []
    for (values, _), told in zip(asked, may, strict=True):
        third = len(values) // 3
        parts = [part for part in (values, values[:-third], values[third:]) if third and len(part) >= 2 * LEAST_SIDE]
        assert told == any(max(slow_z(part)) >= 4 - 1e-6 for part in parts)


def slow_z(values: list[float]) -> list[float]:
    return [0.0, *slow_split(values).values()] if len(set(values)) > 1 else [0.0]


def slow_split(values: list[float]) -> dict[int, float]:
    """Compare every value before with every value after, at every place."""
    n = len(values)
    ties = [values.count(value) for value in set(values)]
    found: dict[int, float] = {}
    for place in range(LEAST_SIDE, n - LEAST_SIDE + 1):
        wins = sum((a > b) + (a == b) / 2 for a in values[:place] for b in values[place:])
        expected = place * (n - place) / 2
        scale = place * (n - place) / 12 * (n + 1 - sum(t**3 - t for t in ties) / (n * (n - 1)))
        found[place] = abs(wins - expected) / math.sqrt(scale)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_place_equals_the_slow_way(seed: int) -> None:
    rng = random.Random(seed)
    values = [float(rng.choice([1, 2, 3, rng.randrange(99)])) for _ in range(rng.randrange(20, 50))]
    place, z = best_split(values)
    slow = slow_split(values)
    assert slow[place] == pytest.approx(max(slow.values()))
    # The scale is only ever widened.
    assert z <= slow[place] + 1e-9
