"""Values in buckets: what is estimated from them stays within its bound."""

import itertools
import random
from collections import defaultdict

from pipemon.analytics.incidents import recovery, recovery_of_buckets
from pipemon.analytics.stats import OCTAVES, Bucket, middle, summarize, summarize_buckets

BOUND = 0.008
LONGEST = 35 * 86400


def begin_of(value: int) -> int:
    step = next(step for top, step in OCTAVES if value < top)
    return value // step * step


def in_buckets(values: list[int]) -> list[Bucket]:
    found: dict[int, list[int]] = defaultdict(list)
    for value in values:
        found[begin_of(value)].append(value)
    return [Bucket(begin, len(own), sum(own), min(own), max(own)) for begin, own in found.items()]


def test_no_value_is_further_from_its_buckets_middle_than_the_bound() -> None:
    values = [*range(40_000), *range(40_000, LONGEST, 997)]
    assert max(abs(middle(begin_of(value)) - value) / max(1, value) for value in values) <= BOUND
    assert all(middle(value) == value for value in range(128))
    begins = sorted({begin_of(value) for value in range(128, 40_000)})
    assert max(b / a for a, b in itertools.pairwise(begins)) <= 1.0202


def test_estimates_are_within_the_bound_and_the_rest_is_exact() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        values = [int(rng.lognormvariate(6, 2)) for _ in range(rng.randrange(1, 400))]
        counted = [(value, 1) for value in values]
        exact, told = summarize(counted), summarize_buckets(in_buckets(values))
        assert (told.n, told.mean, told.smallest, told.largest) == (
            exact.n,
            exact.mean,
            exact.smallest,
            exact.largest,
        )
        assert exact.median is not None and exact.p95 is not None and told.median is not None and told.p95 is not None
        assert abs(told.median - exact.median) <= BOUND * exact.median
        assert abs(told.p95 - exact.p95) <= BOUND * exact.p95
        lasted, also = recovery(counted), recovery_of_buckets(in_buckets(values))
        assert (also.n, also.mean) == (lasted.n, lasted.mean)
        assert lasted.p90 is not None and also.p90 is not None
        assert abs(also.p90 - lasted.p90) <= BOUND * lasted.p90
    assert summarize_buckets([]) == summarize([])
    assert recovery_of_buckets([]) == recovery([])
