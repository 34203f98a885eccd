"""How a number moved against the window before."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """By how much it moved; `relative` in percent, None from 0."""

    absolute: float
    relative: float | None


def change_of(new: float | None, old: float | None) -> Change | None:
    """Return how it moved; None where one of both is not known."""
    if new is None or old is None:
        return None
    return Change(round(new - old, 2), round((new - old) / old * 100, 2) if old else None)


def minutes_of(seconds: float | None) -> float | None:
    """Return the seconds in minutes."""
    return None if seconds is None else round(seconds / 60, 2)
