"""Cron's five fields, against a walk over every minute."""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pipemon.domain.cron import parse_cron

NOW = int(datetime(2026, 3, 2, 9, 30, tzinfo=UTC).timestamp())  # a Monday


def at(text: str, now: int = NOW, zone: str = "UTC") -> str | None:
    found = parse_cron(text).latest(now, ZoneInfo(zone))
    return None if found is None else datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 8 * * *", "2026-03-02 08:00"), ("0 10 * * *", "2026-03-01 10:00"), ("30 9 * * *", "2026-03-02 09:30"),
        ("0 8 * * 1", "2026-03-02 08:00"), ("0 8 * * mon-fri", "2026-03-02 08:00"), ("0 8 * * 0", "2026-03-01 08:00"),
        ("0 8 * * 7", "2026-03-01 08:00"), ("*/15 * * * *", "2026-03-02 09:30"),
        ("5-59/20 9 * * *", "2026-03-02 09:25"),
        ("0 0 1 * *", "2026-03-01 00:00"), ("0 0 29 2 *", "2024-02-29 00:00"), ("0 0 31 2 *", None),
        ("0 8 13 * fri", "2026-02-27 08:00"), ("0 8 1,15 1-3/2 *", "2026-03-01 08:00"),
    ],
)  # fmt: skip
def test_the_latest_moment(text: str, told: str | None) -> None:
    assert at(text) == told


def test_the_clock_of_a_zone() -> None:
    assert at("0 8 * * *", zone="America/New_York") == "2026-03-01 13:00"
    # Spring: half past two does not exist on the 29th of March in Berlin. Autumn: it comes twice.
    morning = int(datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp())
    assert at("30 2 * * *", morning, "Europe/Berlin") == "2026-03-29 01:30"
    twice = int(datetime(2026, 10, 25, 1, 45, tzinfo=UTC).timestamp())
    assert at("30 2 * * *", twice, "Europe/Berlin") == "2026-10-25 00:30"


@pytest.mark.parametrize("seed", range(25))
def test_it_equals_a_walk_back_over_every_minute(seed: int) -> None:
    rng = random.Random(seed)

    def some(low: int, high: int) -> tuple[str, set[int]]:
        if rng.random() < 0.4:
            return "*", set(range(low, high + 1))
        found = {rng.randrange(low, high + 1) for _ in range(rng.randrange(1, 4))}
        return ",".join(map(str, sorted(found))), found

    (a, minutes), (b, hours), (c, days), (d, months), (e, weekdays) = (
        some(0, 59), some(0, 23), some(1, 31), some(1, 12), some(0, 6)
    )  # fmt: skip
    cron = parse_cron(f"{a} {b} {c} {d} {e}")
    now = NOW - rng.randrange(10**7)
    slow = now // 60 * 60
    while True:
        moment = datetime.fromtimestamp(slow, UTC)
        by_day, by_weekday = moment.day in days, moment.isoweekday() % 7 in weekdays
        fits = by_day and by_weekday if "*" in (c, e) else by_day or by_weekday
        if moment.minute in minutes and moment.hour in hours and moment.month in months and fits:
            break
        slow -= 60
    assert cron.latest(now, ZoneInfo("UTC")) == slow


@pytest.mark.parametrize(
    "text",
    ["", "0 8 * *", "0 8 * * * *", "60 8 * * *", "0 24 * * *", "0 8 0 * *", "0 8 * 13 *", "0 8 * * 8", "a 8 * * *",
     "5-1 8 * * *", "*/0 8 * * *", "0 8 * * mon-", "٣ 8 * * *", "-1 8 * * *", "1--2 8 * * *", "0 mon * * *"],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cron(text)
