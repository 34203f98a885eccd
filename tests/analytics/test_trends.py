"""Periods of a calendar: days of 23 and 25 hours, hours that come twice, zones that fall on no whole hour."""

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipemon.analytics.trends import period_starts

HOUR = 3600


def at(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [("2025-03-29", "2025-04-01", [24, 23, 24]), ("2025-10-25", "2025-10-28", [24, 25, 24])],
)
def test_a_day_is_a_day_of_the_zone(begin: str, end: str, hours: list[int]) -> None:
    zone = "Europe/Berlin"
    starts = [*period_starts(at(begin, zone), at(end, zone), "daily", ZoneInfo(zone)), at(end, zone)]
    assert [(after - before) // HOUR for before, after in itertools.pairwise(starts)] == hours


def test_weeks_begin_on_monday_and_the_first_may_begin_before_the_window() -> None:
    zone = ZoneInfo("Asia/Tokyo")
    starts = period_starts(at("2025-10-09", "Asia/Tokyo"), at("2025-10-20", "Asia/Tokyo") + 1, "weekly", zone)
    told = [datetime.fromtimestamp(start, zone).strftime("%a %d %H:%M") for start in starts]
    assert told == ["Mon 06 00:00", "Mon 13 00:00", "Mon 20 00:00"]


def test_hours_that_come_twice_are_two() -> None:
    zone = "Europe/Berlin"
    begin = at("2025-10-26", zone)
    starts = period_starts(begin, begin + 25 * HOUR, "hourly", ZoneInfo(zone))
    assert starts == [begin + place * HOUR for place in range(25)]


@pytest.mark.parametrize(("day", "hours"), [("2025-10-05", 23.5), ("2025-04-06", 24.5)])
def test_where_the_clock_moves_by_half_an_hour_half_an_hour_is_a_period(day: str, hours: float) -> None:
    zone = "Australia/Lord_Howe"
    begin = at(day, zone)
    end = begin + int(hours * HOUR)
    starts = [*period_starts(begin, end, "hourly", ZoneInfo(zone)), end]
    lengths = [after - before for before, after in itertools.pairwise(starts)]
    assert lengths == [HOUR, HOUR, HOUR // 2, *[HOUR] * (len(lengths) - 3)]
