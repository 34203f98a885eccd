"""Workflows and jobs that became slower, waited longer or failed more often from one run on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.shifts import DURATION, FAILURE_RATE, QUEUE_TIME, Measure, Shift, shifts
from pipemon.analytics.stats import percentile
from pipemon.domain.runs import FAILED, STAMP_SLACK_SECONDS
from pipemon.queries.aside import aside
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import COMPLETED, IS_DECISIVE, Query, Scope, where
from pipemon.queries.window import DAY_SECONDS, Basis, Window, coverage
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs, workflows

# Of each workflow the newest runs, of the workflows the busiest of the last month: an answer stays quick.
MOST_RUNS = 200
MOST_WORKFLOWS = 40
BUSY_DAYS = 30
# Of so many workflows the jobs too, over fewer runs.
JOB_RUNS = 100
JOB_WORKFLOWS = 12


@dataclass(frozen=True, slots=True)
class Mark:
    """A run at which something shifted."""

    id: int
    run_number: int
    sha: str | None
    created_at: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Regression:
    """One shift for the worse, or the better, of a workflow or of one of its jobs. `until`: where it ended."""

    repository: str
    workflow_id: int
    workflow: str
    job: str | None
    measure: str
    unit: str
    shift: Shift
    since: Mark
    until: Mark | None
    scope: Scope

    @property
    def absolute(self) -> float:
        """By how much, in the unit."""
        return round(self.shift.after - self.shift.before, 2)

    @property
    def relative(self) -> float | None:
        """By how much of the level before, in percent; None from 0."""
        before = self.shift.before
        return round((self.shift.after - before) / before * 100, 2) if before else None


@dataclass(frozen=True, slots=True)
class Regressions:
    """What `/analytics/regressions` tells, what lasts first, then the newest."""

    basis: Basis
    regressions: tuple[Regression, ...]
    improvements: tuple[Regression, ...]
    workflows: int
    as_of: AsOf


Row = tuple[Any, ...]  # (run, run_number, sha, created_at, url, failed, seconds, waited)


def regressions(db: Database, window: Window) -> Regressions:
    """Return the shifts in the newest decisive runs of the window's busiest workflows."""
    names = {row[0]: row[1:] for row in db.heavy(_busiest(window))}
    runs_by, jobs_by = _series(db, window.scope, list(names), window.as_of.timestamp)
    found = aside(_shifts, [*runs_by, *jobs_by])
    told = [
        Regression(
            window.scope.repositories[names[key][0]], key, names[key][1], job, measure.name, measure.unit, shift,
            _mark(rows[shift.place]), None if shift.until is None else _mark(rows[shift.until]),
            replace(window.scope, workflow=str(key), job=job),
        )
        for (key, job, rows), measure, shift in found
    ]  # fmt: skip
    told.sort(key=lambda one: (one.until is not None, -one.since.created_at, -one.shift.z, one.workflow_id))
    basis = Basis(window, sum(len(rows) for _, _, rows in runs_by), (), coverage(db, window))
    worse, better = ([one for one in told if one.shift.is_worse == which] for which in (True, False))
    return Regressions(basis, tuple(worse), tuple(better), len(names), window.as_of)


def _mark(row: Row) -> Mark:
    return Mark(*row[:5])


def _busiest(window: Window) -> Query:
    lately = max(window.from_at, window.as_of.timestamp - BUSY_DAYS * DAY_SECONDS)
    count = sa.func.count()
    query: Query = (
        sa.select(workflows.c.id, workflows.c.repository_id, workflows.c.name)
        .join_from(runs, workflows, workflows.c.id == runs.c.workflow_id)
        .where(COMPLETED, IS_DECISIVE, *where(replace(window.scope, created_from=lately)))
        .group_by(workflows.c.id, workflows.c.repository_id, workflows.c.name)
        .order_by(count.desc(), workflows.c.id)
        .limit(MOST_WORKFLOWS)
    )
    return query


Series = tuple[int, str | None, list[Row]]


def _series(db: Database, scope: Scope, ids: Sequence[int], until: int) -> tuple[list[Series], list[Series]]:
    """Return the series of each workflow, and of the jobs of the first of them, in the order of run numbers."""
    of_runs: list[Series] = []
    of_jobs: list[Series] = []
    for place, key in enumerate(ids):
        rows = sorted(_ended(db.heavy(_newest_runs(scope, key)), until), key=lambda row: row[1])
        of_runs.append((key, None, rows))
        if place < JOB_WORKFLOWS and rows:
            of_jobs += _job_series(db, key, rows[-JOB_RUNS:])
    return of_runs, of_jobs


def _ended(rows: Sequence[Row], until: int) -> list[Row]:
    """Return the runs that began long enough ago to have ended, whichever way.

    Of the youngest only the quick ones are over, and what fails is quick: they would look like a shift.
    """
    usual = percentile([(row[6], 1) for row in rows if not row[5] and row[6] is not None], 0.95) or 0
    return [row for row in rows if row[3] + usual <= until]


def _newest_runs(scope: Scope, workflow_id: int) -> Query:
    mark = (runs.c.id, runs.c.run_number, runs.c.sha, runs.c.created_at, runs.c.url)
    failed = sa.case((runs.c.conclusion == "success", 0), else_=1)
    query: Query = (
        sa.select(*mark, failed, runs.c.duration_seconds, runs.c.queue_seconds)
        .where(runs.c.workflow_id == workflow_id, COMPLETED, IS_DECISIVE, runs.c.completed_at.is_not(None))
        .where(*where(scope))
        .order_by(runs.c.completed_at.desc(), runs.c.id.desc())
        .limit(MOST_RUNS)
    )
    return query


def _job_series(db: Database, workflow_id: int, rows: Sequence[Row]) -> Iterable[Series]:
    by_run = {row[0]: row for row in rows}
    waited = jobs.c.started_at - jobs.c.created_at
    query: Query = (
        sa.select(jobs.c.run_id, jobs.c.name, sa.case((jobs.c.conclusion == "success", 0), else_=1))
        .add_columns(jobs.c.completed_at - jobs.c.started_at, sa.case((waited < 0, 0), else_=waited))
        .join_from(runs, jobs, sa.and_(jobs.c.run_id == runs.c.id, jobs.c.run_attempt == runs.c.run_attempt))
        .where(runs.c.id.in_(list(by_run)), jobs.c.conclusion.in_(["success", *sorted(FAILED)]))
        # A rerun copies the jobs that passed, with their old times.
        .where(waited >= -STAMP_SLACK_SECONDS)
    )
    found: dict[str, list[Row]] = {}
    for run_id, name, failed, seconds, queued in db.heavy(query):
        found.setdefault(name, []).append((*by_run[run_id][:5], failed, seconds, queued))
    return ((workflow_id, name, sorted(own, key=lambda row: row[1])) for name, own in sorted(found.items()))


def _shifts(series: Iterable[Series]) -> list[tuple[Series, Measure, Shift]]:
    found = []
    for one in series:
        key, job, rows = one
        for measure, place, of_failed in ((DURATION, 6, False), (QUEUE_TIME, 7, True), (FAILURE_RATE, 5, True)):
            # What fails ends early: how long it took says nothing.
            own = [row for row in rows if row[place] is not None and (of_failed or not row[5])]
            told = shifts([float(row[place]) for row in own], measure)
            found += [((key, job, own), measure, shift) for shift in told]
    return found
