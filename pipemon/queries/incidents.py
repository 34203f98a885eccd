"""The red streaks of each workflow on each branch, from the table that moves with the runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count, percentile, total
from pipemon.analytics.incidents import Recovery
from pipemon.analytics.trends import Point
from pipemon.queries.aside import aside
from pipemon.queries.columns import END
from pipemon.queries.look import Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.runs import AUTHOR, NAME
from pipemon.queries.scope import Query, Scope
from pipemon.store.among import among
from pipemon.store.schema import runs
from pipemon.store.schema_rollups import incidents as table

P = ParamSpec("P")
T = TypeVar("T")

# When an incident opened, and the run that opened it.
Opened: TypeAlias = tuple[int, int]
# So many are read at a stretch.
AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Incident:
    """One red streak. Unix seconds; `recovered_at` and `recovered_by` are None while it is open.

    `failures` counts its failed attempts; `last_green` is the run before it, None where no success is known.
    """

    failure_id: int
    repository: str
    workflow_id: int
    workflow: str | None
    branch: str | None
    sha: str | None
    author: str | None
    pull_request: bool
    started_at: int
    failures: int
    last_green: int | None
    recovered_at: int | None
    recovered_by: int | None

    @property
    def seconds(self) -> int | None:
        """How long it lasted; None while it is open. GitHub's numbering and its clock may disagree: never below 0."""
        return None if self.recovered_at is None else max(0, self.recovered_at - self.started_at)


@dataclass(frozen=True, slots=True)
class Counted:
    """The incidents of a window in numbers. `weekly`: the mean minutes to recovery by week of the recovery."""

    recovery: Recovery
    still_open: int
    weekly: tuple[Point, ...]


def list_in(db: Source, scope: Scope, *, only_open: bool = False) -> list[Incident]:
    """Return the incidents that recovered in the scope's window, and those open at its end that began in it.

    Newest first. They are as they are known today; what recovered after the window's end is open in it.
    """
    every, still_open = _over(db, scope, _listed, *_span(scope), None)
    wanted = still_open if only_open else every
    known = _told(db, scope, wanted)
    return [known[one] for one in wanted if one in known]


def lists_in(db: Source, scope: Scope, most: int) -> tuple[list[Incident], list[Incident]]:
    """Return the newest of them all, and the newest of those that are open."""
    every, still_open = _over(db, scope, _listed, *_span(scope), most)
    known = _told(db, scope, [*every, *still_open])
    first, second = ([known[one] for one in wanted if one in known] for wanted in (every, still_open))
    return first, second


def _listed(rows: Rows, begin: int, end: int, most: int | None) -> tuple[list[Opened], list[Opened]]:
    opened, at = rows["created_at"], rows["recovered_at"]
    is_open = _is_open(opened, at, begin, end)
    found = []
    for chosen in (is_open | ((at >= begin) & (at < end)), is_open):
        places = np.flatnonzero(chosen)[::-1][:most]
        found.append(list(zip(opened[places].tolist(), rows["id"][places].tolist(), strict=True)))
    return found[0], found[1]


def _told(db: Source, scope: Scope, wanted: Sequence[Opened]) -> dict[Opened, Incident]:
    """Return the incidents that opened at these moments, each with the run that opened it."""
    end, ids = _span(scope)[1], sorted({run_id for _, run_id in wanted})
    columns = (table.c.run_id, runs.c.repository_id, runs.c.workflow_id, NAME, runs.c.branch, runs.c.sha, AUTHOR)
    more = (table.c.pull_request, table.c.opened_at, table.c.failures, table.c.last_green)
    query: Query = sa.select(*columns, *more, table.c.recovered_at, table.c.recovered_by).join_from(
        table, runs, runs.c.id == table.c.run_id
    )
    found: dict[Opened, Incident] = {}
    for place in range(0, len(ids), AT_ONCE):
        rows = db.heavy(query.where(among(table.c.run_id, ids[place : place + AT_ONCE])))
        found |= aside(_made, rows, scope.repositories, end)
    return found


def _made(rows: Sequence[tuple[Any, ...]], repositories: Mapping[int, str], end: int) -> dict[Opened, Incident]:
    """Return the rows as incidents; what recovered at the end, or later, is open."""
    found: dict[Opened, Incident] = {}
    for key, repository, *rest, at, by in rows:
        ended = (at, by) if at is not None and at < end else (None, None)
        if (name := repositories.get(repository)) is not None:
            one = Incident(key, name, *rest, *ended)
            found[one.started_at, key] = one
    return found


def recovery_in(db: Source, scope: Scope) -> Recovery:
    """Return how long those lasted that recovered in the window."""
    return _over(db, scope, _recovery, *_span(scope))


def count_in(db: Source, scope: Scope, starts: Sequence[int]) -> Counted:
    """Return the incidents of the window in numbers, recoveries also by periods that start at these moments."""
    return _over(db, scope, _counted, *_span(scope), list(starts))


def _over(db: Source, scope: Scope, function: Callable[Concatenate[Rows, P], T], *more: P.args, **named: P.kwargs) -> T:
    # By their recovery, however long ago they opened.
    return over(db, "incidents", replace(scope, created_from=None, created_to=None), function, *more, **named)


def _span(scope: Scope) -> tuple[int, int]:
    return scope.created_from or 0, END if scope.created_to is None else scope.created_to


def _recovered(rows: Rows, begin: int, end: int) -> tuple[Array, Array]:
    """Return when they recovered, and after how long. GitHub's numbering and its clock may disagree: never below 0."""
    some = rows.where((rows["recovered_at"] >= begin) & (rows["recovered_at"] < end))
    return some["recovered_at"], np.maximum(some["recovered_at"] - some["created_at"], 0)


def _is_open(opened: Array, recovered_at: Array, begin: int, end: int) -> Array:
    """Return whether each began in the window and was open at its end: what recovered later was, too."""
    found: Array = (opened >= begin) & (opened < end) & ((recovered_at < 0) | (recovered_at >= end))
    return found


def _recovery(rows: Rows, begin: int, end: int) -> Recovery:
    _, seconds = _recovered(rows, begin, end)
    mean = int(seconds.sum()) / len(seconds) if len(seconds) else None
    return Recovery(len(seconds), mean, percentile(seconds, 0.5), percentile(seconds, 0.9))


def _counted(rows: Rows, begin: int, end: int, starts: list[int]) -> Counted:
    opened, at = rows["created_at"], rows["recovered_at"]
    still_open = _is_open(opened, at, begin, end)
    moments, seconds = _recovered(rows, begin, end)
    place = np.maximum(np.searchsorted(starts, moments, "right") - 1, 0)
    n, sums = count(place, len(starts)), total(place, len(starts), seconds)
    weekly = (
        Point(start, round(int(sums[each]) / int(n[each]) / 60, 2) if n[each] else 0.0, int(n[each]))
        for each, start in enumerate(starts)
    )
    return Counted(_recovery(rows, begin, end), int(still_open.sum()), tuple(weekly))
