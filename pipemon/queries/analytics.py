"""The two answers that are about all of a window: its overview and its trends."""

from dataclasses import dataclass

import numpy as np

from pipemon.analytics.arrays import Array, count, sum_up
from pipemon.analytics.incidents import Recovery
from pipemon.analytics.trends import Group, Point
from pipemon.queries import incidents
from pipemon.queries.changes import Change, change_of, minutes_of
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Scope
from pipemon.queries.window import (
    Basis,
    Tally,
    Window,
    basis,
    coverage,
    ends_by_word,
    read_groups,
    read_periods,
    tally,
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of an overview, of one window."""

    window: Window
    tally: Tally
    first_attempt: Tally
    recovery: Recovery
    complete: bool

    @property
    def builds_per_day(self) -> float:
        """Completed builds a day."""
        return round(self.tally.total / self.window.days, 2)

    @property
    def first_attempt_success_rate(self) -> float | None:
        """The percentage of first attempts that succeeded; None without any."""
        return self.first_attempt.success_rate if self.first_attempt.decisive else None


@dataclass(frozen=True, slots=True)
class Changes:
    """How each number of an overview moved; None where one of both is not known."""

    total_builds: Change | None
    success_rate: Change | None
    failure_rate: Change | None
    first_attempt_success_rate: Change | None
    average_duration_minutes: Change | None
    mttr_minutes: Change | None
    builds_per_day: Change | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What `/analytics/overview` tells."""

    basis: Basis
    now: Numbers
    before: Numbers
    most_active_branch: str | None
    most_active_author: str | None
    as_of: AsOf

    @property
    def change(self) -> Changes | None:
        """Against the window before; None where that is empty, or not all of it was read."""
        return compare(self.now, self.before) if self.before.tally.total and self.before.complete else None


@dataclass(frozen=True, slots=True)
class Trends:
    """What `/analytics/trends` tells: percentages of the decisive builds, and their mean minutes, per period."""

    basis: Basis
    success: tuple[Point, ...]
    failure: tuple[Point, ...]
    duration: tuple[Point, ...]
    granularity: str
    as_of: AsOf


def compare(now: Numbers, before: Numbers) -> Changes:
    """Return how the numbers moved; a rate or a time over nothing is no number to compare."""

    def known(one: Numbers) -> tuple[float | None, ...]:
        some = one.tally.decisive > 0
        return (
            one.tally.total,
            one.tally.success_rate if some else None,
            one.tally.failure_rate if some else None,
            one.first_attempt_success_rate,
            minutes_of(one.tally.mean_seconds),
            minutes_of(one.recovery.mean),
            one.builds_per_day,
        )

    return Changes(*(change_of(new, old) for new, old in zip(known(now), known(before), strict=True)))


def overview(db: Source, window: Window) -> Overview:
    """Return the numbers of the window beside those of the window before."""
    db = Look.at(db)
    groups = read_groups(db, window.scope)
    found = basis(db, window, groups)
    return Overview(
        basis=found,
        now=_numbers(db, window, tally(groups), found.coverage.complete),
        before=_previous_numbers(db, window.previous()),
        most_active_branch=over(db, "runs", window.scope, _most_frequent, "branch"),
        most_active_author=over(db, "runs", window.scope, _most_frequent, "author"),
        as_of=window.as_of,
    )


def trends(db: Source, window: Window) -> Trends:
    """Return how rates and durations went from period to period; the first and the last may be cut by the window."""
    db = Look.at(db)
    starts = window.starts
    found = read_periods(db, window.scope, starts)
    tallies = list(zip(starts, found.tallies, strict=True))
    return Trends(
        basis=basis(db, window, found.groups),
        success=tuple(Point(at, one.success_rate, one.decisive) for at, one in tallies),
        failure=tuple(Point(at, one.failure_rate, one.decisive) for at, one in tallies),
        duration=tuple(Point(at, round((one.mean_seconds or 0) / 60, 2), one.timed) for at, one in tallies),
        granularity=window.granularity,
        as_of=window.as_of,
    )


def _numbers(db: Source, window: Window, whole: Tally, complete: bool) -> Numbers:
    recovered = incidents.recovery_in(db, window.scope)
    return Numbers(window, whole, _first_attempts(db, window.scope), recovered, complete)


def _previous_numbers(db: Source, window: Window) -> Numbers:
    return _numbers(db, window, tally(read_groups(db, window.scope)), coverage(db, window).complete)


def _first_attempts(db: Source, scope: Scope) -> Tally:
    """Return how the first attempts of the window's runs ended; one that was never seen is left out."""
    return tally(over(db, "runs", scope, _firsts))


def _firsts(rows: Rows) -> list[Group]:
    ends = rows.words["first"].values
    n = sum_up([part.kept(_count_firsts) for part in rows.parts], len(ends))
    return [Group(ends[code], int(n[code])) for code in np.flatnonzero(n).tolist()]


def _count_firsts(part: Rows) -> Array:
    return count(part["first"], 1, (part["completed"] == 1) & (part["first_seen"] == 1))


def _most_frequent(rows: Rows, column: str) -> str | None:
    """Return the word that most completed runs have in the column, the first of the alphabet among equals."""
    n = ends_by_word(rows, column)[0]
    best = int(n.max(initial=0))
    return min(rows.word(column, code) for code in np.flatnonzero(n == best).tolist()) if best else None
