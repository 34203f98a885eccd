"""Ranges of time of which every run is known: half-open [from_at, to_at), by `created_at`."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """One range. `complete` is false where it was read, and GitHub's cap still hid some of its runs."""

    from_at: int
    to_at: int
    complete: bool = True


def add(ranges: Iterable[Range], new: Range) -> list[Range]:
    """Return the ranges with the new one, touching ones of the same kind joined, in time order.

    A complete range takes the place of incomplete ones below it, never the other way round.
    """
    parts: list[Range] = []
    for old in ranges:
        if old.complete == new.complete or not new.complete:
            parts.append(old)
        else:
            before = Range(old.from_at, min(old.to_at, new.from_at), old.complete)
            after = Range(max(old.from_at, new.to_at), old.to_at, old.complete)
            parts += [part for part in (before, after) if part.from_at < part.to_at]
    if new.complete:
        return _joined(sorted([*parts, new]))
    gaps = missing(parts, new.from_at, new.to_at)
    return _joined(sorted([*parts, *(Range(gap.from_at, gap.to_at, False) for gap in gaps)]))


def _joined(ranges: list[Range]) -> list[Range]:
    out: list[Range] = []
    for part in ranges:
        if out and out[-1].complete == part.complete and part.from_at <= out[-1].to_at:
            out[-1] = Range(out[-1].from_at, max(out[-1].to_at, part.to_at), part.complete)
        elif part.from_at < part.to_at:
            out.append(part)
    return out


def missing(ranges: Iterable[Range], from_at: int, to_at: int) -> list[Range]:
    """Return the parts of [from_at, to_at) in no range, newest first."""
    gaps, at = [], from_at
    for part in sorted(ranges):
        if part.from_at > at and at < to_at:
            gaps.append(Range(at, min(part.from_at, to_at)))
        at = max(at, part.to_at)
    if at < to_at:
        gaps.append(Range(at, to_at))
    return gaps[::-1]
