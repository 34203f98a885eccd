"""The red streaks of each workflow on each branch, from the table that moves with the runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count, percentile, total
from pipemon.analytics.incidents import Recovery
from pipemon.analytics.trends import Point
from pipemon.queries.columns import END, Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.runs import AUTHOR, NAME
from pipemon.queries.scope import Condition, Query, Scope, in_repositories, workflows_called, workflows_like
from pipemon.store.schema import runs
from pipemon.store.schema_rollups import incidents as table

P = ParamSpec("P")
T = TypeVar("T")


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


def list_in(db: Source, scope: Scope, limit: int | None = None, *, only_open: bool = False) -> list[Incident]:
    """Return the incidents that recovered in the scope's window, and those open at its end that began in it.

    Newest first. They are as they are known today; what recovered after the window's end is open in it.
    """
    until = scope.created_to
    columns = (table.c.run_id, runs.c.repository_id, runs.c.workflow_id, NAME, runs.c.branch, runs.c.sha, AUTHOR)
    more = (table.c.pull_request, table.c.opened_at, table.c.failures, table.c.last_green)
    ends: list[sa.ColumnElement[int | None]] = [table.c.recovered_at, table.c.recovered_by]
    if until is not None:
        ends = [sa.case((table.c.recovered_at < until, column)) for column in ends]
    # By the index of the order they are listed in: the sum keeps the other one out, after which all must be sorted.
    chosen = _is_open(scope) if only_open else sa.or_(_has_recovered(scope, table.c.recovered_at + 0), _is_open(scope))
    query: Query = (
        sa.select(*columns, *more, *ends)
        .join_from(table, runs, runs.c.id == table.c.run_id)
        .where(chosen, *_where(scope))
        .order_by(table.c.opened_at.desc(), table.c.run_id.desc())
        .limit(limit)
    )
    return [Incident(key, scope.repositories[repository], *rest) for key, repository, *rest in db.heavy(query)]


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


def _recovery(rows: Rows, begin: int, end: int) -> Recovery:
    _, seconds = _recovered(rows, begin, end)
    mean = int(seconds.sum()) / len(seconds) if len(seconds) else None
    return Recovery(len(seconds), mean, percentile(seconds, 0.5), percentile(seconds, 0.9))


def _counted(rows: Rows, begin: int, end: int, starts: list[int]) -> Counted:
    opened, at = rows["created_at"], rows["recovered_at"]
    # Open at the window's end: what recovered later was, too.
    still_open = (opened >= begin) & (opened < end) & ((at < 0) | (at >= end))
    moments, seconds = _recovered(rows, begin, end)
    place = np.maximum(np.searchsorted(starts, moments, "right") - 1, 0)
    n, sums = count(place, len(starts)), total(place, len(starts), seconds)
    weekly = (
        Point(start, round(int(sums[each]) / int(n[each]) / 60, 2) if n[each] else 0.0, int(n[each]))
        for each, start in enumerate(starts)
    )
    return Counted(_recovery(rows, begin, end), int(still_open.sum()), tuple(weekly))


def _has_recovered(scope: Scope, at: sa.ColumnElement[int | None] = table.c.recovered_at) -> Condition:
    found = at >= (scope.created_from or 0)
    return found if scope.created_to is None else sa.and_(found, at < scope.created_to)


def _is_open(scope: Scope) -> Condition:
    """Whether it began in the window and had not recovered at its end."""
    began = table.c.opened_at >= (scope.created_from or 0)
    if scope.created_to is None:
        return sa.and_(began, table.c.recovered_at.is_(None))
    lasted = sa.or_(table.c.recovered_at.is_(None), table.c.recovered_at >= scope.created_to)
    return sa.and_(began, table.c.opened_at < scope.created_to, lasted)


def _where(scope: Scope) -> list[Condition]:
    """Return the conditions of the scope, its window apart. An event is that of the run which opened an incident."""
    found: list[Condition] = [in_repositories(table.c.repository_id, scope.repositories)]
    if scope.exclude_workflows:
        found.append(table.c.workflow_id.not_in(workflows_like(scope.exclude_workflows)))
    if scope.workflow is not None:
        found.append(table.c.workflow_id.in_(workflows_called(scope.workflow)))
    if not scope.pull_requests:
        found.append(sa.not_(table.c.pull_request))
    return found + [
        table.c[name] == value for name in ("branch", "event") if (value := getattr(scope, name)) is not None
    ]
