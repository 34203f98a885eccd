"""Percentiles and summaries, against the plain way over a sorted list."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipemon.analytics.stats import Summary, percentile, rate, summarize


def plain_percentile(values: list[int], fraction: float) -> float:
    """PERCENTILE_CONT over a list."""
    ordered = sorted(values)
    rank = fraction * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.sampled_from([0, 0.5, 0.9, 0.95, 0.99, 1]))
def test_percentile_is_percentile_cont(values: list[int], fraction: float) -> None:
    assert percentile(Counter(values).items(), fraction) == pytest.approx(plain_percentile(values, fraction))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=100))
def test_summary_of_any_values(values: list[int]) -> None:
    found = summarize(Counter(values).items())
    assert (found.n, found.smallest, found.largest) == (len(values), min(values), max(values))
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert found.p95 == pytest.approx(plain_percentile(values, 0.95))


def test_nothing_has_no_numbers() -> None:
    assert summarize([]) == Summary(0)
    assert percentile([(5, 0)], 0.5) is None


@pytest.mark.parametrize(("part", "whole", "expected"), [(0, 0, 0.0), (1, 3, 33.33), (3, 3, 100.0), (0, 4, 0.0)])
def test_rate(part: int, whole: int, expected: float) -> None:
    assert rate(part, whole) == expected
