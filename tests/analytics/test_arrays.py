"""Arithmetic on columns, against the plain way over lists."""

import itertools
import random
from bisect import bisect_right
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipemon.analytics import arrays, stats

BOUND = 0.008
LONGEST = 35 * 86400
numbers = st.lists(st.integers(0, 5000), max_size=200)


@given(numbers, st.sampled_from([0, 0.5, 0.9, 0.95, 1]))
def test_percentiles_are_those_of_stats(values: list[int], fraction: float) -> None:
    assert arrays.percentile(np.array(values, "i4"), fraction) == stats.percentile(Counter(values).items(), fraction)
    parts = [arrays.tallied(np.array(part, "i4")) for part in (values[:3], values[3:])]
    assert arrays.summary(parts) == stats.summarize(Counter(values).items())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**31 - 1)), max_size=100), st.sampled_from([0.5, 0.95]))
def test_percentiles_of_each_code(pairs: list[tuple[int, int]], fraction: float) -> None:
    groups: dict[int, list[int]] = defaultdict(list)
    for code, value in pairs:
        groups[code].append(value)
    codes, values = (
        (np.array(column, "i8") for column in zip(*pairs, strict=True)) if pairs else (np.empty(0, "i8"),) * 2
    )
    expected = {code: stats.percentile(Counter(own).items(), fraction) for code, own in groups.items()}
    assert arrays.percentiles(codes, values, np.ones(len(codes), "i8"), fraction) == expected
    different, counts = np.unique(np.stack([codes, values]), axis=1, return_counts=True)
    assert arrays.percentiles(*different, counts, fraction) == expected


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 12))
def test_the_largest_in_order_and_of_equals_the_higher_id(values: list[int], most: int) -> None:
    ids = random.Random(1).sample(range(1000), len(values))
    places = arrays.largest(np.array(values, "i8"), np.array(ids, "i8"), most)
    expected = sorted(zip(values, ids, strict=True), reverse=True)[:most]
    assert [(values[place], ids[place]) for place in places] == expected


@given(st.lists(st.integers(0, 10**7), max_size=50))
def test_numbers_without_holes(values: list[int]) -> None:
    codes, present = arrays.dense(np.array(values, "i8"))
    assert present.tolist() == sorted(set(values))
    assert [int(present[code]) for code in codes] == values


@pytest.mark.parametrize("sparse", [arrays.MOST_SPARSE, 1])
def test_groups_by_several_columns(sparse: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_SPARSE", sparse)
    for seed in range(40):
        rng = random.Random(seed)
        rows = [(rng.randrange(4), rng.randrange(10 ** rng.randrange(7)), rng.randrange(3)) for _ in range(seed)]
        columns = [np.array([row[place] for row in rows], "i8") for place in range(3)]
        key, codes = arrays.number(columns)
        groups = list(zip(*(own.tolist() for own in codes), strict=True))
        assert groups == sorted(set(rows))
        assert [groups[one] for one in key.tolist()] == rows


@given(st.lists(st.integers(0, 1000), max_size=50), st.lists(st.integers(0, 1000), min_size=1, max_size=8, unique=True))
def test_places_in_periods(moments: list[int], starts: list[int]) -> None:
    moments.sort()
    starts.sort()
    expected = [max(0, bisect_right(starts, moment) - 1) for moment in moments]
    assert arrays.places(np.array(moments, "i8"), starts).tolist() == expected


@pytest.mark.parametrize("cells", [arrays.MOST_CELLS, 1])
def test_a_spread_is_exact_or_within_its_bound(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_CELLS", cells)
    for seed in range(60):
        rng = random.Random(seed)
        pairs = [(rng.randrange(4), int(rng.lognormvariate(6, 2))) for _ in range(rng.randrange(300))]
        keys, values = (np.array([pair[place] for pair in pairs], "i8") for place in (0, 1))
        spread = arrays.Spread(keys, 4, values, np.ones(len(values), "i8"))
        for asked in ([0], [1, 3], [0, 1, 2, 3], []):
            own = [value for key, value in pairs if key in asked]
            n, found, most = spread.of(asked, (0.5, 0.95))
            assert n == len(own)
            for one, expected in zip(
                [*found, most],
                [*(stats.percentile(Counter(own).items(), part) for part in (0.5, 0.95)), max(own, default=None)],
                strict=True,
            ):
                if expected is None or one is None:
                    assert one is expected is None
                elif cells == 1:
                    assert abs(one - expected) <= BOUND * expected
                else:
                    assert one == pytest.approx(expected)


def test_no_value_is_further_from_its_buckets_middle_than_the_bound() -> None:
    values = np.array([*range(1, 40_000), *range(40_000, LONGEST, 997)], "i8")
    begins = arrays.rounded(values)
    middles = begins + (arrays.step_of(begins) - 1) / 2
    assert (np.abs(middles - values) / values).max() <= BOUND
    assert (middles[:127] == values[:127]).all()
    assert max(b / a for a, b in itertools.pairwise(sorted(set(begins[127:39_000].tolist())))) <= 1.0202
