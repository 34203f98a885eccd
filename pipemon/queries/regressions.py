"""Workflows and jobs that became slower, waited longer or failed more often from one run on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import count
from pipemon.analytics.shifts import DURATION, FAILURE_RATE, QUEUE_TIME, Measure, Numbers, Shift, may_shift, shifts
from pipemon.analytics.stats import percentiles_of
from pipemon.domain.runs import FAILED, STAMP_SLACK_SECONDS, is_decisive
from pipemon.queries.aside import aside
from pipemon.queries.columns import over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Rows
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


# Columns of a series: what is not known is NONE.
RUN, NUMBER, ATTEMPT, CREATED, RED, SECONDS, WAITED = range(7)
NONE = -1
COLUMNS = {DURATION.name: SECONDS, QUEUE_TIME.name: WAITED, FAILURE_RATE.name: RED}


class Series(NamedTuple):
    """The decisive runs of a workflow, or of one of its jobs, in the order of their numbers."""

    workflow_id: int
    job: str | None
    rows: Numbers


class Found(NamedTuple):
    """A shift, and the runs at which it began and ended."""

    workflow_id: int
    job: str | None
    measure: Measure
    shift: Shift
    since: int
    until: int | None


def regressions(db: Database, window: Window) -> Regressions:
    """Return the shifts in the newest decisive runs of the window's busiest workflows."""
    names = _busiest(db, window)
    of_runs = _of_runs(db, window, list(names))
    found = aside(_shifts, [*of_runs, *_of_jobs(db, of_runs[:JOB_WORKFLOWS])])
    marks = _marks(db, found)
    told = [
        Regression(
            window.scope.repositories[names[key][0]], key, names[key][1], job, measure.name, measure.unit, shift,
            marks[since], None if until is None else marks[until],
            replace(window.scope, workflow=str(key), job=job),
        )
        for key, job, measure, shift, since, until in found
    ]  # fmt: skip
    told.sort(key=lambda one: (one.until is not None, -one.since.created_at, -one.shift.z, one.workflow_id))
    basis = Basis(window, sum(len(one.rows) for one in of_runs), (), coverage(db, window))
    worse, better = ([one for one in told if one.shift.is_worse == which] for which in (True, False))
    return Regressions(basis, tuple(worse), tuple(better), len(names), window.as_of)


def _marks(db: Database, found: Sequence[Found]) -> dict[int, Mark]:
    ids = {key for one in found for key in (one.since, one.until) if key is not None}
    columns = (runs.c.id, runs.c.run_number, runs.c.sha, runs.c.created_at, runs.c.url)
    rows = db.heavy(sa.select(*columns).where(runs.c.id.in_(sorted(ids)))) if ids else []
    return {row[0]: Mark(*row) for row in rows}


def _busiest(db: Database, window: Window) -> dict[int, tuple[int, str]]:
    """Return repository and name of the workflows with the most decisive runs lately, the busiest first."""
    lately = max(window.from_at, window.as_of.timestamp - BUSY_DAYS * DAY_SECONDS)
    ids = over(db, "runs", replace(window.scope, created_from=lately), _most_run)
    query: Query = sa.select(workflows.c.id, workflows.c.repository_id, workflows.c.name)
    known = {key: (own, name) for key, own, name in db.heavy(query.where(workflows.c.id.in_(ids)))}
    return {key: known[key] for key in ids if key in known}


def _most_run(rows: Rows) -> list[int]:
    done = rows.where((rows["completed"] == 1) & rows.has("conclusion", is_decisive))
    n = count(done["workflow_id"], 1)
    ranked = sorted((-int(n[code]), done.word("workflow_id", code)) for code in np.flatnonzero(n).tolist())
    return [key for _, key in ranked[:MOST_WORKFLOWS]]


def _of_runs(db: Database, window: Window, ids: Sequence[int]) -> list[Series]:
    found = db.heavy_each(_newest_runs(window), [{"workflow": key} for key in ids])
    return aside(_in_order, list(ids), found, window.as_of.timestamp)


def _in_order(ids: Sequence[int], found: Sequence[Sequence[tuple[int, ...]]], until: int) -> list[Series]:
    """Return the series of runs that began long enough ago to have ended, whichever way.

    Of the youngest only the quick ones are over, and what fails is quick: they would look like a shift.
    """
    told = []
    for key, listed in zip(ids, found, strict=True):
        rows = _sorted(listed)
        took = rows[(rows[:, RED] == 0) & (rows[:, SECONDS] != NONE), SECONDS]
        usual = percentiles_of(took, 0.95)[0] or 0
        told.append(Series(key, None, rows[rows[:, CREATED] + usual <= until]))
    return told


def _sorted(rows: Sequence[tuple[int, ...]]) -> Numbers:
    found = np.array(rows, np.int64).reshape(-1, 7)
    return found[np.argsort(found[:, NUMBER], kind="stable")]


def _newest_runs(window: Window) -> Query:
    scope = window.scope
    mark = (runs.c.id, runs.c.run_number, runs.c.run_attempt, runs.c.created_at)
    failed = sa.case((runs.c.conclusion == "success", 0), else_=1)
    times = (sa.func.coalesce(one, NONE) for one in (runs.c.duration_seconds, runs.c.queue_seconds))
    query: Query = (
        sa.select(*mark, failed, *times)
        .where(runs.c.workflow_id == sa.bindparam("workflow", 0, sa.BigInteger), COMPLETED, IS_DECISIVE)
        .order_by(runs.c.completed_at.desc(), runs.c.id.desc())
        .limit(MOST_RUNS)
    )
    # By the index that has them in this order, back to what began with the window: not all of the window, sorted, nor
    # all of a branch, which the planner would rather take.
    within = (runs.c.created_at + 0 >= window.from_at, runs.c.created_at + 0 < window.as_of.timestamp)
    rest = where(replace(scope, created_from=None, created_to=None, branch=None))
    if scope.branch is not None:
        rest.append(runs.c.branch.concat("") == scope.branch)
    return query.where(runs.c.completed_at >= window.from_at, *within, *rest)


def _of_jobs(db: Database, of_runs: Sequence[Series]) -> Iterator[Series]:
    """Yield the series of the jobs of these workflows' newest runs."""
    newest = {one.workflow_id: one.rows[-JOB_RUNS:] for one in of_runs}
    ids = [key for rows in newest.values() for key in rows[:, RUN].tolist()]
    listed = db.heavy(_jobs(ids)) if ids else []
    return iter(aside(_by_name, newest, listed))


def _jobs(run_ids: Sequence[int]) -> Query:
    waited, took = jobs.c.started_at - jobs.c.created_at, jobs.c.completed_at - jobs.c.started_at
    times = (sa.func.coalesce(sa.case((one < 0, 0), else_=one), NONE) for one in (took, waited))
    query: Query = (
        sa.select(jobs.c.run_id, jobs.c.run_attempt, jobs.c.name)
        .add_columns(sa.case((jobs.c.conclusion == "success", 0), else_=1), *times)
        .where(jobs.c.run_id.in_(run_ids), jobs.c.conclusion.in_(["success", *sorted(FAILED)]))
        # A rerun copies the jobs that passed, with their old times.
        .where(waited >= -STAMP_SLACK_SECONDS)
    )
    return query


def _by_name(newest: Mapping[int, Numbers], listed: Sequence[tuple[Any, ...]]) -> list[Series]:
    run_of = {
        (run, attempt): (key, number, created)
        for key, rows in newest.items()
        for run, number, attempt, created, *_ in rows.tolist()
    }
    found: dict[tuple[int, str], list[tuple[int, ...]]] = {}
    for run_id, attempt, name, *told in listed:
        if (run := run_of.get((run_id, attempt))) is not None:
            key, number, created = run
            found.setdefault((key, name), []).append((run_id, number, attempt, created, *told))
    place = {key: number for number, key in enumerate(newest)}
    return [Series(*key, _sorted(found[key])) for key in sorted(found, key=lambda key: (place[key[0]], key[1]))]


def _shifts(series: Iterable[Series]) -> list[Found]:
    asked = [(one, measure, own) for one in series for measure, own in _measured(one.rows)]
    found = []
    hopeful = may_shift([own[:, COLUMNS[measure.name]] for _, measure, own in asked])
    for (one, measure, own), may in zip(asked, hopeful, strict=True):
        for shift in shifts(own[:, COLUMNS[measure.name]], measure) if may else ():
            until = None if shift.until is None else int(own[shift.until, RUN])
            found.append(Found(one.workflow_id, one.job, measure, shift, int(own[shift.place, RUN]), until))
    return found


def _measured(rows: Numbers) -> Iterator[tuple[Measure, Numbers]]:
    # What fails ends early: how long it took says nothing.
    yield DURATION, rows[(rows[:, SECONDS] != NONE) & (rows[:, RED] == 0)]
    yield QUEUE_TIME, rows[rows[:, WAITED] != NONE]
    yield FAILURE_RATE, rows
