"""What was worked out of a series is told again of the very same series alone."""

import numpy as np

from pipemon.queries.kept import Kept
from pipemon.queries.series import NONE, Series, shifts_in


def a_series(seconds: list[int], waited: list[int]) -> Series:
    rows = [(1000 + place, 60 * place, 0, *both) for place, both in enumerate(zip(seconds, waited, strict=True))]
    return Series(7, None, np.array(rows, "i8"))


def told(kept: Kept, one: Series) -> list[tuple[str, int]]:
    return [(found.measure.name, found.since) for found in shifts_in([one], kept)]


def test_two_measures_of_the_same_values_are_two() -> None:
    # Fifteen seconds more are a shift of what a build takes, and none of how long it waits.
    values, nothing, kept = [20] * 20 + [35] * 20, [NONE] * 40, Kept(1_000_000)
    for _ in range(2):
        assert told(kept, a_series(values, nothing)) == [("duration", 1020)]
        assert told(kept, a_series(nothing, values)) == []
        assert told(kept, a_series(values, values)) == [("duration", 1020)]


def test_a_series_that_goes_on_is_another_one() -> None:
    calm, kept = [100] * 40, Kept(1_000_000)
    assert told(kept, a_series(calm, calm)) == []
    assert told(kept, a_series(calm[:20] + [300] * 20, calm)) == [("duration", 1020)]
    assert told(kept, a_series(calm[:25] + [300] * 15, calm)) == [("duration", 1025)]
    assert told(kept, a_series(calm, calm)) == []
