"""Ranges of time that were read."""

import random

from pipemon.domain.coverage import Range, add, missing


def test_touching_ranges_join() -> None:
    assert add([Range(0, 10)], Range(10, 20)) == [Range(0, 20)]
    assert add([Range(0, 10), Range(20, 30)], Range(5, 25)) == [Range(0, 30)]


def test_gaps_newest_first() -> None:
    assert missing([Range(10, 20), Range(30, 40)], 0, 50) == [Range(40, 50), Range(20, 30), Range(0, 10)]
    assert missing([Range(0, 100)], 10, 50) == []


def test_incomplete_never_hides_complete() -> None:
    assert add([Range(0, 10)], Range(5, 15, False)) == [Range(0, 10), Range(10, 15, False)]
    assert add([Range(0, 20, False)], Range(5, 10)) == [Range(0, 5, False), Range(5, 10), Range(10, 20, False)]


def test_same_as_marking_each_second() -> None:
    rng = random.Random(3)
    for _ in range(300):
        ranges: list[Range] = []
        seconds: dict[int, bool] = {}
        for _ in range(6):
            a, b = sorted(rng.sample(range(40), 2))
            complete = rng.random() < 0.7
            ranges = add(ranges, Range(a, b, complete))
            for second in range(a, b):
                seconds[second] = seconds.get(second, False) or complete
        marked = {second: part.complete for part in ranges for second in range(part.from_at, part.to_at)}
        assert marked == seconds
        gaps = {second for gap in missing(ranges, 0, 40) for second in range(gap.from_at, gap.to_at)}
        assert gaps == set(range(40)) - seconds.keys()
