"""The red streaks of each workflow on each branch, from the table that moves with the runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipemon.analytics import incidents
from pipemon.analytics.stats import Bucket
from pipemon.analytics.trends import Point, base_seconds
from pipemon.queries.facts import rounded
from pipemon.queries.runs import AUTHOR, NAME
from pipemon.queries.scope import Condition, Query, Scope, in_repositories, workflows_called, workflows_like
from pipemon.store.engine import Database
from pipemon.store.schema import runs
from pipemon.store.schema_rollups import incidents as table

# Over a longer window medians and percentiles are of buckets.
MOST_EXACT_SECONDS = 90 * 86400
# GitHub's numbering and its clock may disagree: never below 0.
SECONDS = sa.case((table.c.recovered_at > table.c.opened_at, table.c.recovered_at - table.c.opened_at), else_=0)


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

    recovery: incidents.Recovery
    still_open: int
    weekly: tuple[Point, ...]


def list_in(db: Database, scope: Scope, limit: int | None = None, *, only_open: bool = False) -> list[Incident]:
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


def recovery_in(db: Database, scope: Scope) -> incidents.Recovery:
    """Return how long those lasted that recovered in the window: exact up to 90 days, else within 0.8 %."""
    begin = scope.created_from or 0
    if scope.created_to is not None and scope.created_to - begin <= MOST_EXACT_SECONDS:
        query: Query = sa.select(SECONDS, sa.func.count()).where(_has_recovered(scope), *_where(scope))
        return incidents.recovery(db.heavy(query.group_by(SECONDS)))
    columns = (rounded(SECONDS).label("begin"), SECONDS.label("seconds"))
    each = sa.select(*columns).where(_has_recovered(scope), *_where(scope)).subquery()
    seconds = each.c.seconds
    query = sa.select(each.c.begin, sa.func.count(), sa.func.sum(seconds), sa.func.min(seconds), sa.func.max(seconds))
    return incidents.recovery_of_buckets([Bucket(*map(int, row)) for row in db.heavy(query.group_by(each.c.begin))])


def count_in(db: Database, scope: Scope, starts: Sequence[int]) -> Counted:
    """Return the incidents of the window in numbers, recoveries also by periods that start at these moments."""
    count: Query = sa.select(sa.func.count()).select_from(table).where(_is_open(scope), *_where(scope))
    # Written out, not bound: PostgreSQL must see that it is the same in SELECT and GROUP BY.
    base = base_seconds(starts)
    start = table.c.recovered_at // sa.literal_column(str(base))
    query: Query = sa.select(start, sa.func.count(), sa.func.sum(SECONDS)).where(_has_recovered(scope), *_where(scope))
    parts = [(at * base, count, int(seconds)) for at, count, seconds in db.heavy(query.group_by(start))]
    return Counted(recovery_in(db, scope), int(db.heavy(count)[0][0]), tuple(incidents.mean_by_period(parts, starts)))


def recovery_of(found: Iterable[Incident]) -> incidents.Recovery:
    """Return how long the recovered ones lasted."""
    return incidents.recovery((one.seconds, 1) for one in found if one.seconds is not None)


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
