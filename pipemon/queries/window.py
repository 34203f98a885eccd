"""A window of runs, how they ended, and what the numbers over them stand on."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np

from pipemon.analytics.arrays import Array, count, dense, places, total
from pipemon.analytics.stats import rate
from pipemon.analytics.trends import Group, period_starts
from pipemon.domain.runs import FAILED, is_decisive, is_failed
from pipemon.queries import history
from pipemon.queries.freshness import AsOf
from pipemon.queries.history import Gap
from pipemon.queries.look import Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Scope

UTC = ZoneInfo("UTC")
DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked: the runs of a scope that were created in `days` times 24 hours before `as_of`."""

    scope: Scope
    days: int
    as_of: AsOf
    zone: ZoneInfo = UTC
    granularity: str = "daily"

    @property
    def starts(self) -> list[int]:
        """The starts of its periods, Unix seconds."""
        return self.starts_of(self.granularity)

    def starts_of(self, granularity: str) -> list[int]:
        """Return the starts of its periods of another length."""
        return period_starts(self.from_at, self.as_of.timestamp, granularity, self.zone)

    @property
    def from_at(self) -> int:
        """Its first second."""
        return self.as_of.timestamp - self.days * DAY_SECONDS

    def previous(self) -> "Window":
        """Return the window of equal length directly before."""
        end = self.from_at
        scope = replace(self.scope, created_from=end - self.days * DAY_SECONDS, created_to=end)
        return replace(self, scope=scope, as_of=replace(self.as_of, timestamp=end))


@dataclass(frozen=True, slots=True)
class Exclusion:
    """How many runs of a window a number leaves out, and why."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether every run of the window was read, and which stretches were not."""

    complete: bool
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Basis:
    """What an answer's numbers stand on. `n` counts what enters its rates."""

    window: Window
    n: int
    excluded: tuple[Exclusion, ...]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Tally:
    """How runs ended, and how long the decisive ones took. `timed` of those have a known duration."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    timed: int = 0
    seconds: int = 0

    @property
    def decisive(self) -> int:
        """How many enter a rate."""
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float:
        """The percentage that succeeded."""
        return rate(self.succeeded, self.decisive)

    @property
    def failure_rate(self) -> float:
        """The percentage that failed."""
        return rate(self.failed, self.decisive)

    @property
    def mean_seconds(self) -> float | None:
        """The mean duration of the decisive ones; None without any."""
        return self.seconds / self.timed if self.timed else None


def tally(groups: Sequence[Group]) -> Tally:
    """Return the sum of groups. Durations are those of decisive runs alone."""
    decisive = [group for group in groups if is_decisive(group.conclusion)]
    return Tally(
        sum(group.count for group in groups),
        sum(group.count for group in groups if group.conclusion == "success"),
        sum(group.count for group in groups if group.conclusion in FAILED),
        sum(group.timed for group in decisive),
        sum(group.seconds for group in decisive),
    )


def read_groups(db: Source, scope: Scope) -> list[Group]:
    """Return the completed runs of the scope by how they ended."""
    return over(db, "runs", scope, _periods, ()).groups


def read_periods(db: Source, scope: Scope, starts: Sequence[int]) -> "Periods":
    """Return the same, and what of it began in each of the periods that start at these moments."""
    return over(db, "runs", scope, _periods, tuple(starts))


@dataclass(frozen=True, slots=True)
class Periods:
    """How completed runs ended, all of them, and period by period."""

    groups: list[Group]
    tallies: list[Tally]


def _periods(rows: Rows, starts: tuple[int, ...]) -> Periods:
    ends = tuple(rows.words["conclusion"].values)  # others may add to them meanwhile
    sums = np.zeros((max(1, len(starts)), len(ends), 3), "i8")
    for part in rows.parts:
        begin, end = part.span
        first = max(0, bisect_right(starts, begin) - 1)
        own = starts[first : bisect_right(starts, end)]
        found = part.kept(_ended, own)
        sums[first : first + len(found), : found.shape[1]] += found
    whole = sums.sum(axis=0)
    groups = [Group(ends[code], *whole[code].tolist()) for code in np.flatnonzero(whole[:, 0]).tolist()]
    good, bad = (np.array([is_one(end) for end in ends], bool) for is_one in (lambda end: end == "success", is_failed))
    n, (timed, seconds) = sums[:, :, 0], (sums[:, good | bad, place].sum(axis=1).tolist() for place in (1, 2))
    counts = (each.sum(axis=1).tolist() for each in (n, n[:, good], n[:, bad]))
    tallies = [Tally(*each) for each in zip(*counts, timed, seconds, strict=True)] if starts else []
    return Periods(groups, tallies)


def _ended(part: Rows, starts: tuple[int, ...]) -> Array:
    """Return by period and conclusion how many ended so, how many of those have a duration, and its sum."""
    done = part.where(part["completed"] == 1)
    shape = (max(1, len(starts)), int(done["conclusion"].max(initial=0)) + 1)
    period = places(done["created_at"], starts) if len(starts) > 1 else 0
    key, seconds, size = period * shape[1] + done["conclusion"], done["duration_seconds"], math.prod(shape)
    sums = (count(key, size), count(key, size, seconds >= 0), total(key, size, np.maximum(seconds, 0)))
    return np.stack(sums, axis=1).reshape(*shape, 3)


def ends_by_word(rows: Rows, column: str) -> tuple[Array, Array, Array]:
    """Return how many completed runs have each word of the column, how many of those succeeded, and how many failed."""
    size = len(rows.words[column].values)
    found = np.zeros((3, size), "i8")
    for part in rows.parts:
        codes, counts = part.kept(_ends_by_word, column)
        found[:, codes] += counts
    return found[0], found[1], found[2]


def _ends_by_word(part: Rows, column: str) -> tuple[Array, Array]:
    done = part.where((part["completed"] == 1) & part.known(column))
    key, present = dense(done[column])
    good, bad = (done.has("conclusion", is_one) for is_one in (lambda end: end == "success", is_failed))
    return present, np.stack([count(key, len(present), which) for which in (None, good, bad)])


def basis(db: Source, window: Window, groups: Sequence[Group]) -> Basis:
    """Return what numbers over these groups stand on."""
    whole = tally(groups)
    other: dict[str, int] = {}
    for group in groups:
        if not is_decisive(group.conclusion):
            reason = group.conclusion or "unknown"
            other[reason] = other.get(reason, 0) + group.count
    other |= {
        "unfinished": over(db, "runs", window.scope, _unfinished),
        "duration_unknown": whole.decisive - whole.timed,
    }
    if not window.scope.pull_requests:
        both = tally(read_groups(db, replace(window.scope, pull_requests=True)))
        other["pull_request"] = both.decisive - whole.decisive
    excluded = tuple(Exclusion(reason, count) for reason, count in sorted(other.items()) if count)
    return Basis(window, whole.decisive, excluded, coverage(db, window))


def coverage(db: Source, window: Window) -> Coverage:
    """Return whether the window's history is whole."""
    with db.read() as conn:
        gaps = tuple(history.list_gaps(conn, window.scope))
    return Coverage(not gaps, gaps)


def _unfinished(rows: Rows) -> int:
    return sum(part.kept(_count_unfinished) for part in rows.parts)


def _count_unfinished(part: Rows) -> int:
    return int((part["completed"] == 0).sum())
