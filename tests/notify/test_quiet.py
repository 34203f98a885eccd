"""Quiet hours: until when a message waits."""

from datetime import UTC, datetime

import pytest

from pipemon.notify.quiet import DAYS, Quiet, awake_at


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%a %d %H:%M")


def quiet(begin: str, end: str, tz: str = "UTC", days: tuple[str, ...] = DAYS) -> Quiet:
    found = Quiet.of({"from": begin, "to": end, "tz": tz, "days": list(days)})
    assert found is not None
    return found


NIGHT = quiet("22:00", "07:00")
BERLIN = quiet("22:00", "07:00", "Europe/Berlin")
WEEKEND = quiet("00:00", "00:00", days=("sat", "sun"))


@pytest.mark.parametrize(
    ("hours", "due", "goes"),
    [
        (None, "2026-11-23T23:00:00Z", "Mon 23 23:00"),
        (NIGHT, "2026-11-23T21:59:59Z", "Mon 23 21:59"),
        (NIGHT, "2026-11-23T22:00:00Z", "Tue 24 07:00"),
        (NIGHT, "2026-11-24T06:59:59Z", "Tue 24 07:00"),
        (NIGHT, "2026-11-24T07:00:00Z", "Tue 24 07:00"),
        (quiet("12:00", "13:00"), "2026-11-24T12:30:00Z", "Tue 24 13:00"),
        (BERLIN, "2026-11-23T20:59:00Z", "Mon 23 20:59"),
        (BERLIN, "2026-11-23T21:00:00Z", "Tue 24 06:00"),
        # The night in which the clock goes back has ten hours.
        (BERLIN, "2026-10-24T20:00:00Z", "Sun 25 06:00"),
        (WEEKEND, "2026-11-21T05:00:00Z", "Mon 23 00:00"),
        (quiet("22:00", "07:00", days=("fri",)), "2026-11-21T05:00:00Z", "Sat 21 07:00"),
        (quiet("22:00", "07:00", days=("fri",)), "2026-11-21T23:00:00Z", "Sat 21 23:00"),
    ],
)
def test_it_waits_until_they_end(hours: Quiet | None, due: str, goes: str) -> None:
    assert shown(awake_at(hours, at(due))) == goes


def test_who_is_always_quiet_is_told_after_a_week_at_the_latest() -> None:
    assert shown(awake_at(quiet("00:00", "00:00"), at("2026-11-23T12:00:00Z"))) == "Mon 30 00:00"
