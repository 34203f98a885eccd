"""Jobs that failed and succeeded on the same commit, and failures that are no job's fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count, number, total
from pipemon.analytics.stats import rate, wilson
from pipemon.queries.commits import Commits, again
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.scope import Scope
from pipemon.queries.verdicts import OTHER, PLATFORM
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.among import among
from pipemon.store.schema import runs

MOST_JOBS = 100
MOST_COMMITS = 5
KEYS = ("repository_id", "workflow_id", "name")


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
    shas = _shas(db, [run_id for row in found.rows for pair in row.commits for run_id in pair])
    told = tuple(
        FlakyJob(
            window.scope.repositories[row.repository_id], row.workflow_id,
            db.workflow(row.workflow_id), row.name, row.n, row.flaky, row.platform,
            tuple(FlakyCommit(shas[failed], failed, good) for failed, good in row.commits if failed in shas),
            replace(window.scope, workflow=str(row.workflow_id), job=row.name),
        )
        for row in found.rows
    )  # fmt: skip
    excluded = (Exclusion("platform", found.platform),) if found.platform else ()
    basis = Basis(window, found.n, excluded, coverage(db, window))
    return Flakiness(basis, told, found.flaky, found.platform, window.as_of)


def _shas(db: Source, run_ids: Sequence[int]) -> dict[int, str]:
    return dict(db.heavy(sa.select(runs.c.id, runs.c.sha).where(among(runs.c.id, run_ids), runs.c.sha.is_not(None))))


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
    both, size = again(rows), len(jobs)
    job = _numbers(rows, both, jobs)
    is_good, is_bad = both.good_run > 0, both.bad_run > 0
    n = n - total(job, size, both.rows) + count(job, size, is_good | is_bad)
    flaky = count(job, size, is_good & is_bad)
    bad = np.flatnonzero(flaky + platform).tolist()
    found = [(at, _row(jobs[at], int(n[at]), int(flaky[at]), int(platform[at]))) for at in bad]
    ranked = sorted(found, key=lambda one: _surest(one[1]))[:most]
    places = np.flatnonzero(is_good & is_bad)
    newest = places[np.lexsort((-both.bad_run[places], -both.created[places], job[places]))]
    ends = np.searchsorted(job[newest], np.arange(size + 1))
    told = [replace(row, commits=_newest(both, newest[ends[at] : ends[at + 1]])) for at, row in ranked]
    return _Counted(told, int(n.sum()), int(flaky.sum()), int(platform.sum()))


def _numbers(rows: Rows, both: Commits, jobs: Sequence[tuple[Any, ...]]) -> Array:
    """Return the place in `jobs` of each one's job."""
    key, codes = number(both[: len(KEYS)])
    words = [map(partial(rows.word, name), own.tolist()) for name, own in zip(KEYS, codes, strict=True)]
    place = {job: at for at, job in enumerate(jobs)}
    return np.array([place[job] for job in zip(*words, strict=True)], "i8")[key]


def _newest(both: Commits, places: Array) -> list[tuple[int, int]]:
    """Return of the first few of these commits the newest run that failed, and that succeeded."""
    some = places[:MOST_COMMITS]
    return list(zip(both.bad_run[some].tolist(), both.good_run[some].tolist(), strict=True))


def _row(job: tuple[Any, ...], n: int, flaky: int, platform: int) -> _Row:
    repository_id, workflow_id, name = job
    return _Row(repository_id, workflow_id, name, n, flaky, platform)


def _surest(row: _Row) -> tuple[object, ...]:
    return -wilson(row.flaky, row.n)[0] if row.n else 0.0, -row.flaky, -row.platform, row.name, row.workflow_id


def _decided(part: Rows) -> Measured:
    """Return the jobs with a result of their own, and those that the platform failed."""
    some = part.where((part["outcome"] != OTHER) & (part["sha"] != 0))
    is_platform = some["outcome"] == PLATFORM
    return some, [~is_platform, is_platform]
