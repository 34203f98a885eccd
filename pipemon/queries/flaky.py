"""Jobs that failed and succeeded on the same commit, and failures that are no job's fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count, total
from pipemon.analytics.stats import rate, wilson
from pipemon.queries.columns import Look, Source, over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Measured, Rows, joined
from pipemon.queries.scope import Scope
from pipemon.queries.verdicts import BAD, GOOD, OTHER, PLATFORM
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.schema import runs, workflows

MOST_JOBS = 100
MOST_COMMITS = 5
KEYS = ("repository_id", "workflow_id", "name")
# An odd number, which mixes.
MIX = np.int64(0x9E3779B97F4A7C15 - (1 << 64))


@dataclass(frozen=True, slots=True)
class FlakyCommit:
    """A commit on which a job failed and succeeded, with the newest run of each."""

    sha: str
    failed_in: int
    succeeded_in: int


@dataclass(frozen=True, slots=True)
class FlakyJob:
    """A job by its name, with its matrix leg. `n` commits have a decisive result, on `flaky` of them both."""

    repository: str
    workflow_id: int
    workflow: str
    name: str
    n: int
    flaky: int
    platform: int
    commits: tuple[FlakyCommit, ...]
    scope: Scope

    @property
    def flake_rate(self) -> float:
        """The percentage of the commits."""
        return rate(self.flaky, self.n)

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the rate lies, in percent, at 95 %."""
        return wilson(self.flaky, self.n)

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.interval[1]


@dataclass(frozen=True, slots=True)
class Flakiness:
    """What `/analytics/flaky` tells; the surest first."""

    basis: Basis
    jobs: tuple[FlakyJob, ...]
    flaky: int
    platform: int
    as_of: AsOf

    @property
    def flake_rate(self) -> float:
        """The percentage over all jobs and commits."""
        return rate(self.flaky, self.basis.n)


def flakiness(db: Source, window: Window, most: int = MOST_JOBS) -> Flakiness:
    """Return the jobs of the window's runs that are flaky, and those that the platform failed."""
    db = Look.at(db)
    found = over(db, "jobs", window.scope, _counted, most)
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    shas = _shas(db, [run_id for row in found.rows for pair in row.commits for run_id in pair])
    told = tuple(
        FlakyJob(
            window.scope.repositories[row.repository_id], row.workflow_id,
            names.get(row.workflow_id, str(row.workflow_id)), row.name, row.n, row.flaky, row.platform,
            tuple(FlakyCommit(shas[failed], failed, good) for failed, good in row.commits if failed in shas),
            replace(window.scope, workflow=str(row.workflow_id), job=row.name),
        )
        for row in found.rows
    )  # fmt: skip
    excluded = (Exclusion("platform", found.platform),) if found.platform else ()
    basis = Basis(window, found.n, excluded, coverage(db, window))
    return Flakiness(basis, told, found.flaky, found.platform, window.as_of)


def _shas(db: Source, run_ids: Sequence[int]) -> dict[int, str]:
    return dict(db.heavy(sa.select(runs.c.id, runs.c.sha).where(runs.c.id.in_(run_ids), runs.c.sha.is_not(None))))


@dataclass(frozen=True, slots=True)
class _Row:
    """A job by its name. `commits`: the newest flaky ones, as the newest run that failed and that succeeded."""

    repository_id: int
    workflow_id: int
    name: str
    n: int
    flaky: int
    platform: int
    commits: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class _Counted:
    rows: list[_Row]
    n: int
    flaky: int
    platform: int


def _counted(rows: Rows, most: int) -> _Counted:
    """Count, per job, the commits with a decisive result and those with both; the surest first."""
    jobs, (n, platform) = rows.grouped(KEYS, _decided)
    # Where a job has one row on a commit, nothing has to be put together.
    again = _again(rows)
    begins = np.cumsum([0, *(len(part.heads or ()) for part in rows.parts)])
    together = [
        part.where(again[begin:end][part["head"]] & (part["outcome"] != OTHER) & (part["sha"] != 0))
        for part, begin, end in zip(rows.parts, begins[:-1], begins[1:], strict=True)
    ]
    both, size = _by_commit(joined(together, rows.words), jobs), len(jobs)
    n = n - total(both.job, size, both.rows) + count(both.job, size, both.is_good | both.is_bad)
    flaky = count(both.job, size, both.is_good & both.is_bad)
    bad = np.flatnonzero(flaky + platform).tolist()
    found = [(at, _row(jobs[at], int(n[at]), int(flaky[at]), int(platform[at]))) for at in bad]
    ranked = sorted(found, key=lambda one: _surest(one[1]))[:most]
    told = [replace(row, commits=both.newest(at)) for at, row in ranked]
    return _Counted(told, int(n.sum()), int(flaky.sum()), int(platform.sum()))


def _row(job: tuple[Any, ...], n: int, flaky: int, platform: int) -> _Row:
    repository_id, workflow_id, name = job
    return _Row(repository_id, workflow_id, name, n, flaky, platform)


def _again(rows: Rows) -> Array:
    """Return for each run whether its jobs have run on its commit more than once."""
    runs_of = rows.heads or rows
    mixed = runs_of["sha"] ^ runs_of["workflow_id"] * MIX
    # With four buckets a run most are alone in theirs: only the others are put in order.
    bucket = mixed & ((4 << len(mixed).bit_length()) - 1)
    found: Array = np.bincount(bucket)[bucket] > 1
    some = mixed[found]
    ordered = np.sort(some)
    found[found] = np.isin(some, ordered[1:][ordered[1:] == ordered[:-1]])
    found |= runs_of["single"] == 0
    return found


@dataclass(frozen=True, slots=True)
class _Commits:
    """Jobs on commits: their decisive `rows`, whether one succeeded and failed, the newest run of each and of all."""

    job: Array
    rows: Array
    is_good: Array
    is_bad: Array
    good_run: Array
    bad_run: Array
    created: Array

    def newest(self, job: int) -> list[tuple[int, int]]:
        places = np.flatnonzero((self.job == job) & self.is_good & self.is_bad)
        order = places[np.lexsort((-self.bad_run[places], -self.created[places]))][:MOST_COMMITS]
        return [(int(self.bad_run[at]), int(self.good_run[at])) for at in order]


def _by_commit(rows: Rows, jobs: Sequence[tuple[Any, ...]]) -> _Commits:
    numbers = {job: number for number, job in enumerate(jobs)}
    key, own = rows.keyed(*KEYS)
    job = np.array([numbers[one] for one in own], "i8")[key]
    # One number for both, as random as the commit's: sorted far quicker than two.
    mixed = rows["sha"] ^ (job + 1) * MIX
    order = np.argsort(mixed)
    job, mixed = job[order], mixed[order]
    begins = np.flatnonzero(np.concatenate(([True], mixed[1:] != mixed[:-1]))) if len(order) else order
    outcome, run, created = rows["outcome"][order], rows["id"][order], rows["created_at"][order]

    def most(values: Array) -> Array:
        return np.maximum.reduceat(values, begins) if len(begins) else values

    good, bad = (most(np.where(outcome == one, run, 0)) for one in (GOOD, BAD))
    decisive = (outcome != PLATFORM).astype("i8")
    rows_of = np.add.reduceat(decisive, begins) if len(begins) else decisive
    return _Commits(job[begins], rows_of, good > 0, bad > 0, good, bad, most(created))


def _surest(row: _Row) -> tuple[object, ...]:
    return -wilson(row.flaky, row.n)[0] if row.n else 0.0, -row.flaky, -row.platform, row.name, row.workflow_id


def _decided(part: Rows) -> Measured:
    """Return the jobs with a result of their own, and those that the platform failed."""
    some = part.where((part["outcome"] != OTHER) & (part["sha"] != 0))
    is_platform = some["outcome"] == PLATFORM
    return some, [~is_platform, is_platform]
