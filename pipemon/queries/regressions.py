"""Workflows and jobs that became slower, waited longer or failed more often from one run on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count
from pipemon.analytics.shifts import Numbers, Shift
from pipemon.analytics.stats import percentiles_of
from pipemon.domain.runs import is_decisive, is_failed
from pipemon.queries.aside import aside
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Rows, joined
from pipemon.queries.scope import Scope
from pipemon.queries.series import CREATED, NONE, RED, RUN, SECONDS, Found, Series, shifts_in
from pipemon.queries.verdicts import GOOD, OTHER
from pipemon.queries.window import DAY_SECONDS, Basis, Window, coverage
from pipemon.store.among import among
from pipemon.store.schema import runs

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


def regressions(db: Source, window: Window) -> Regressions:
    """Return the shifts in the newest decisive runs of the window's busiest workflows."""
    db = Look.at(db)
    names = _busiest(db, window)
    of_runs = _of_runs(db, window, list(names))
    found = aside(shifts_in, [*of_runs, *_of_jobs(db, window, of_runs[:JOB_WORKFLOWS])], db.plain)
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


def _marks(db: Source, found: Sequence[Found]) -> dict[int, Mark]:
    ids = {key for one in found for key in (one.since, one.until) if key is not None}
    columns = (runs.c.id, runs.c.run_number, runs.c.sha, runs.c.created_at, runs.c.url)
    rows = db.heavy(sa.select(*columns).where(among(runs.c.id, sorted(ids)))) if ids else []
    return {row[0]: Mark(*row) for row in rows}


def _busiest(db: Look, window: Window) -> dict[int, tuple[int, str]]:
    """Return repository and name of the workflows with the most decisive runs lately, the busiest first."""
    lately = max(window.from_at, window.as_of.timestamp - BUSY_DAYS * DAY_SECONDS)
    ids = over(db, "runs", replace(window.scope, created_from=lately), _most_run)
    return {key: db.workflows[key] for key in ids if key in db.workflows}


def _most_run(rows: Rows) -> list[int]:
    done = rows.where((rows["completed"] == 1) & rows.has("conclusion", is_decisive))
    n = count(done["workflow_id"], 1)
    ranked = sorted((-int(n[code]), done.word("workflow_id", code)) for code in np.flatnonzero(n).tolist())
    return [key for _, key in ranked[:MOST_WORKFLOWS]]


def _of_runs(db: Source, window: Window, ids: Sequence[int]) -> list[Series]:
    return over(db, "runs", window.scope, _newest, list(ids), window.as_of.timestamp)


def _newest(rows: Rows, ids: Sequence[int], until: int) -> list[Series]:
    """Return the series of the newest runs that began long enough ago to have ended, whichever way.

    Of the youngest only the quick ones are over, and what fails is quick: they would look like a shift.
    """
    codes = np.array([rows.words["workflow_id"].find(key) for key in ids], "i8")
    missing = np.zeros(len(rows.words["workflow_id"].values), "i8")
    missing[codes] = MOST_RUNS
    found: list[tuple[Array, Numbers]] = []
    for part in reversed(rows.parts):
        wanted = (missing > 0)[part["workflow_id"]] & (part["completed"] == 1) & part.has("conclusion", is_decisive)
        some = part.where(wanted)
        red = some.has("conclusion", is_failed)
        columns = (some["id"], some["created_at"], red, some["duration_seconds"], some["queue_seconds"])
        found.append((some["workflow_id"], np.stack(columns, axis=1)))
        missing -= count(some["workflow_id"], len(missing))
        if not (missing > 0).any():
            break
    told, nothing = [], np.empty((0, 5), "i8")
    of_workflow = _apart([one[0] for one in reversed(found)], [one[1] for one in reversed(found)])
    for key, code in zip(ids, codes.tolist(), strict=True):
        newest = of_workflow.get(code, nothing)[-MOST_RUNS:]
        took = newest[(newest[:, RED] == 0) & (newest[:, SECONDS] != NONE), SECONDS]
        usual = percentiles_of(took, 0.95)[0] or 0
        told.append(Series(key, None, newest[newest[:, CREATED] + usual <= until]))
    return told


def _apart(codes: Sequence[Array], rows: Sequence[Numbers]) -> dict[int, Numbers]:
    """Return the rows of each code, in their order."""
    if not sum(map(len, codes)):
        return {}
    code = np.concatenate(codes)
    order = np.argsort(code, kind="stable")
    present, begins = np.unique(code[order], return_index=True)
    return dict(zip(present.tolist(), np.split(np.concatenate(rows)[order], begins[1:]), strict=True))


def _of_jobs(db: Source, window: Window, of_runs: Sequence[Series]) -> list[Series]:
    """Return the series of the jobs of these workflows' newest runs, of their latest attempts."""
    newest = [one.rows[-JOB_RUNS:] for one in of_runs]
    ids = np.concatenate([rows[:, RUN] for rows in newest]) if newest else np.empty(0, "i8")
    if not len(ids):
        return []
    since = min(int(rows[:, CREATED].min()) for rows in newest if len(rows))
    found = over(db, "jobs", replace(window.scope, created_from=since), _by_name, ids)
    place = {one.workflow_id: number for number, one in enumerate(of_runs)}
    return sorted(found, key=lambda one: (place[one.workflow_id], one.job))


def _by_name(rows: Rows, run_ids: Numbers) -> list[Series]:
    found = []
    for part in rows.parts:
        runs_of = part.heads or part
        of_runs = np.isin(runs_of["id"], run_ids)[part["head"]]
        # A rerun copies the jobs that passed, with their old times: those have no wait.
        found.append(part.where(of_runs & (part["latest"] == 1) & (part["outcome"] != OTHER) & (part["waited"] >= 0)))
    some = joined(found, rows.words)
    key, groups = some.keyed("workflow_id", "name")
    columns = (some["id"], some["created_at"], some["outcome"] != GOOD, some["seconds"], some["waited"])
    apart = _apart([key], [np.stack(columns, axis=1)])
    return [Series(groups[number][0], groups[number][1], own) for number, own in apart.items()]
