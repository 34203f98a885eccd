"""What failed in a window and where, and what took long."""

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.stats import Bucket, Summary, rate, summarize, summarize_buckets
from pipemon.analytics.trends import Point, base_seconds, gather
from pipemon.domain.runs import FAILED
from pipemon.queries import failures as reasons
from pipemon.queries import rolled
from pipemon.queries.freshness import AsOf
from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import COMPLETED, HAS_FAILED, IS_DECISIVE, Query, Scope, where
from pipemon.queries.window import Basis, Tally, Window, basis, read_groups, tally
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs, workflows

MOST_ROWS = 10
# Over a longer window medians and percentiles are of buckets.
MOST_EXACT_DAYS = 90
SECONDS = {"duration": runs.c.duration_seconds, "queue": runs.c.queue_seconds}


@dataclass(frozen=True, slots=True)
class Share:
    """How the completed runs of one branch, or of one author, ended. `scope` leads to them."""

    name: str
    total: int
    succeeded: int
    failed: int
    scope: Scope

    @property
    def failure_rate(self) -> float:
        """The percentage of the decisive ones that failed."""
        return rate(self.failed, self.succeeded + self.failed)


@dataclass(frozen=True, slots=True)
class RunMark:
    """One run that a number points to. Unix seconds, seconds."""

    id: int
    repository: str
    conclusion: str
    branch: str | None
    sha: str | None
    commit_message: str | None
    author: str | None
    completed_at: int | None
    duration_seconds: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """The jobs of one name in one workflow: how many have ended as success or failure, and how many failed."""

    repository: str
    workflow: str
    name: str
    n: int
    failed: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Failures:
    """What `/analytics/failures` tells."""

    basis: Basis
    tally: Tally
    by_branch: tuple[Share, ...]
    by_author: tuple[Share, ...]
    recent: tuple[RunMark, ...]
    trend: tuple[Point, ...]
    jobs: tuple[JobRow, ...]
    signatures: tuple[reasons.Group, ...]
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Performance:
    """What `/analytics/performance` tells. Durations and queue times in seconds, of decisive runs."""

    basis: Basis
    durations: Summary
    queue: Summary
    trend: tuple[Point, ...]
    slowest: tuple[RunMark, ...]
    as_of: AsOf


def failures(db: Database, window: Window) -> Failures:
    """Return what failed in the window, and how often beside what succeeded."""
    starts = window.starts
    groups = read_groups(db, window.scope, base_seconds(starts))
    periods = [tally(found) for found in gather(groups, starts)]
    return Failures(
        basis=basis(db, window, groups),
        tally=tally(groups),
        by_branch=_shares(db, window.scope, "branch"),
        by_author=_shares(db, window.scope, "author"),
        recent=_marks(db, window.scope, HAS_FAILED, runs.c.completed_at),
        trend=tuple(Point(at, one.failure_rate, one.decisive) for at, one in zip(starts, periods, strict=True)),
        jobs=_failing_jobs(db, window.scope),
        signatures=reasons.signatures(db, window, MOST_ROWS).groups,
        as_of=window.as_of,
    )


def performance(db: Database, window: Window) -> Performance:
    """Return how long the decisive builds of the window took, and what took longest."""
    starts = window.starts
    groups = read_groups(db, window.scope, base_seconds(starts))
    periods = [tally(found) for found in gather(groups, starts)]
    points = (Point(at, round((p.mean_seconds or 0) / 60, 2), p.timed) for at, p in zip(starts, periods, strict=True))
    return Performance(
        basis=basis(db, window, groups),
        durations=_summary(db, window, "duration"),
        queue=_summary(db, window, "queue"),
        trend=tuple(points),
        slowest=_marks(db, window.scope, IS_DECISIVE, runs.c.duration_seconds),
        as_of=window.as_of,
    )


def _summary(db: Database, window: Window, kind: str) -> Summary:
    """Return what can be said of the decisive runs' seconds: exact up to 90 days, else within 0.8 %."""
    if window.days <= MOST_EXACT_DAYS:
        return summarize(_counted(db, window.scope, SECONDS[kind]))
    found = rolled.read(db, window.scope, kind)
    return summarize_buckets([Bucket(int(one.item), one.n, one.seconds, one.low or 0, one.high or 0) for one in found])


def _counted(db: Database, scope: Scope, column: sa.ColumnElement[int]) -> list[tuple[float, int]]:
    """Return each value of a column of the decisive runs, and how often it occurs."""
    query: Query = sa.select(column, sa.func.count()).where(COMPLETED, IS_DECISIVE, column.is_not(None), *where(scope))
    return [(value, count) for value, count in db.heavy(query.group_by(column))]


def _shares(db: Database, scope: Scope, kind: str) -> tuple[Share, ...]:
    """Return the ten with the most failures; nobody without one is among them."""
    red = sorted((one for one in rolled.read(db, scope, kind) if one.bad), key=lambda one: (-one.bad, one.item))
    return tuple(
        Share(
            one.item,
            one.n,
            one.good,
            one.bad,
            replace(scope, branch=one.item) if kind == "branch" else replace(scope, author=one.item),
        )
        for one in red[:MOST_ROWS]
    )


def _marks(db: Database, scope: Scope, condition: Any, order: sa.ColumnElement[int]) -> tuple[RunMark, ...]:
    columns = ("conclusion", "branch", "sha", "commit_message")
    more = (runs.c.completed_at, runs.c.duration_seconds, runs.c.url)
    query: Query = sa.select(runs.c.id, runs.c.repository_id, *(runs.c[name] for name in columns), AUTHOR, *more)
    query = query.where(COMPLETED, condition, order.is_not(None), *where(scope))
    rows = db.heavy(query.order_by(order.desc(), runs.c.id.desc()).limit(MOST_ROWS))
    return tuple(RunMark(key, scope.repositories[repository], *rest) for key, repository, *rest in rows)


def _failing_jobs(db: Database, scope: Scope) -> tuple[JobRow, ...]:
    """Return the ten jobs of the latest attempts of the window's failed runs that failed most often."""
    bad = sa.func.sum(sa.case((jobs.c.conclusion.in_(sorted(FAILED)), 1), else_=0))
    keys = (runs.c.repository_id, runs.c.workflow_id, jobs.c.name)
    query: Query = (
        sa.select(*keys, sa.func.count(), bad)
        .join_from(runs, jobs, sa.and_(jobs.c.run_id == runs.c.id, jobs.c.run_attempt == runs.c.run_attempt))
        .where(COMPLETED, HAS_FAILED, jobs.c.conclusion.in_(["success", *sorted(FAILED)]), *where(scope))
        .group_by(*keys)
        .having(bad > 0)
        .order_by(bad.desc(), jobs.c.name)
    )
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    return tuple(
        JobRow(
            scope.repositories[repository], names.get(workflow, str(workflow)), name, n, int(failed),
            replace(scope, workflow=str(workflow), failed_job=name),
        )
        for repository, workflow, name, n, failed in db.heavy(query.limit(MOST_ROWS))
    )  # fmt: skip
