"""Which jobs held up a run's end."""

import pytest

from pipemon.analytics.critical_path import Span, critical_path


@pytest.mark.parametrize(
    ("spans", "names"),
    [
        ([], []),
        ([("build", 0, 60)], ["build"]),
        ([("build", 0, 60), ("lint", 0, 20), ("test", 60, 200)], ["build", "test"]),
        # The one that ended last before the start, not the longest.
        ([("a", 0, 50), ("b", 40, 55), ("c", 60, 90)], ["b", "c"]),
        # Jobs that overlap are no chain.
        ([("a", 0, 100), ("b", 10, 120)], ["b"]),
        # Jobs without length, all at one second, must come to an end.
        ([("a", 5, 5), ("b", 5, 5), ("c", 5, 5)], ["a", "b", "c"]),
        # A skipped job may end before it starts.
        ([("odd", 30, 20), ("b", 40, 50)], ["odd", "b"]),
    ],
)
def test_critical_path(spans: list[tuple[str, int, int]], names: list[str]) -> None:
    assert [span.name for span in critical_path(Span(*span) for span in spans)] == names
