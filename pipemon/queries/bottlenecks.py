"""What holds builds up, and which steps fail: over the newest builds of a window, with all of their jobs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from heapq import nsmallest
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, count, number, total
from pipemon.analytics.bottlenecks import JobPart, JobRun, JobShare, parts, shares
from pipemon.analytics.stats import rate
from pipemon.domain.runs import STAMP_SLACK_SECONDS, is_decisive
from pipemon.queries.aside import aside
from pipemon.queries.kept import Kept
from pipemon.queries.look import Look, Source, over
from pipemon.queries.newest import newest
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Query, Scope
from pipemon.store.among import among
from pipemon.store.schema import jobs, runs

MOST_RUNS = 500
MOST_ROWS = 10


@dataclass(frozen=True, slots=True)
class SlowJob:
    """The jobs of one name in one workflow. Seconds are means; the share is of the `n` runs, in percent."""

    repository: str
    workflow: str
    name: str
    n: int
    seconds: float
    critical_share: float
    exclusive_seconds: float
    scope: Scope


@dataclass(frozen=True, slots=True)
class SlowStep:
    """The steps of one name in one job. The share is of the seconds of its workflow's critical paths, in percent."""

    repository: str
    workflow: str
    job: str
    name: str
    n: int
    seconds: float
    critical_share: float
    scope: Scope


@dataclass(frozen=True, slots=True)
class FailingStep:
    """A step at which jobs failed, how often, and the newest run in which one did."""

    repository: str
    workflow: str
    job: str
    name: str
    failed: int
    last_run_id: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Bottlenecks:
    """The ten jobs and the ten steps that hold up the most, over so many runs."""

    jobs: tuple[SlowJob, ...]
    steps: tuple[SlowStep, ...]
    runs: int


Names = dict[int, tuple[str, str]]


def bottlenecks(db: Source, scope: Scope) -> Bottlenecks:
    """Return what holds up the newest decisive runs of the scope."""
    db = Look.at(db)
    found = aside(_gathered, db.heavy(_jobs_of(newest(db, scope, is_decisive, MOST_RUNS))), db.plain)
    names = _names(db, scope)
    return Bottlenecks(
        jobs=tuple(
            SlowJob(
                *names[one.workflow_id], one.name, one.n, one.seconds / one.n, rate(one.critical, one.n),
                one.exclusive / one.n, replace(scope, workflow=str(one.workflow_id), job=one.name),
            )
            for one in found.jobs
        ),
        steps=tuple(
            SlowStep(
                *names[workflow_id], job, name, n, -seconds / n,
                rate(-critical, found.path_seconds.get(workflow_id, 0)),
                replace(scope, workflow=str(workflow_id), job=job),
            )
            for critical, seconds, job, name, workflow_id, n in found.steps
        ),
        runs=found.runs,
    )  # fmt: skip


def failing_steps(db: Source, scope: Scope) -> tuple[FailingStep, ...]:
    """Return at which steps the failed jobs of the scope's failed runs failed, most often first."""
    db = Look.at(db)
    names = _names(db, scope)
    return tuple(
        FailingStep(*names[workflow_id], job, step, count, last, _of_failed(scope, workflow_id, job))
        for workflow_id, job, step, count, last in over(db, "failures", scope, _by_step)
    )


STEP = ("workflow_id", "name", "step")


def _by_step(rows: Rows) -> list[tuple[int, str, str, int, int]]:
    """Return workflow, job and step, how many failed there, and the newest run in which one did."""
    *found, counts, runs_of = map(np.concatenate, zip(*(piece.kept(_steps) for piece in rows.pieces), strict=True))
    key, codes = number(found)
    n, last = total(key, len(codes[0]), counts), np.zeros(len(codes[0]), "i8")
    last[key] = runs_of  # in the order of time: the newest is written last
    words = (map(partial(rows.word, name), own.tolist()) for name, own in zip(STEP, codes, strict=True))
    told = zip(*words, n.tolist(), last.tolist(), strict=True)
    return sorted(told, key=lambda row: (-row[3], *row[1:3], row[0]))[:MOST_ROWS]


def _steps(piece: Rows) -> tuple[Array, ...]:
    """Return the codes of workflow, job and step, and of each how many failed there, and the newest run."""
    known = piece.where(piece.known("step"))
    key, codes = number([known[name] for name in STEP])
    last = np.zeros(len(codes[0]), "i8")
    last[key] = known["id"]
    return *codes, count(key, len(last)), last


def _of_failed(scope: Scope, workflow_id: int, job: str) -> Scope:
    return replace(scope, workflow=str(workflow_id), failed_job=job)


def _names(db: Look, scope: Scope) -> Names:
    return _Named({key: (scope.repositories.get(own, ""), name) for key, (own, name) in db.workflows.items()})


class _Named(dict[int, tuple[str, str]]):
    def __missing__(self, workflow_id: int) -> tuple[str, str]:
        return "", str(workflow_id)


def _jobs_of(run_ids: Sequence[int]) -> Query:
    """Select the jobs that really ran in the latest attempts of these runs (see domain `job_really_ran`)."""
    ended = sa.func.coalesce(jobs.c.conclusion, "")
    query: Query = (
        sa.select(runs.c.workflow_id, runs.c.id, jobs.c.name, jobs.c.started_at, jobs.c.completed_at, jobs.c.steps)
        .join_from(runs, jobs, sa.and_(jobs.c.run_id == runs.c.id, jobs.c.run_attempt == runs.c.run_attempt))
        .where(among(runs.c.id, run_ids))
        .where(jobs.c.status == "completed", ended != "skipped", jobs.c.completed_at >= jobs.c.started_at)
        .where(jobs.c.started_at >= runs.c.started_at - STAMP_SLACK_SECONDS)
        .where(sa.not_(sa.and_(ended == "cancelled", jobs.c.steps == "[]")))
        .order_by(runs.c.id, jobs.c.id)
    )
    return query


def _digest(run: Sequence[tuple[Any, ...]]) -> bytes:
    """Return what stands for all that is known of a run's jobs."""
    return blake2b(repr(run).encode(), digest_size=16).digest()


def _parts(run: Sequence[tuple[Any, ...]]) -> tuple[JobPart, ...]:
    return parts([*map(JobRun._make, run)])


class _Slowest(NamedTuple):
    jobs: list[JobShare]
    steps: list[tuple[int, int, str, str, int, int]]
    path_seconds: dict[int, int]
    runs: int


def _gathered(rows: Sequence[tuple[Any, ...]], kept: Kept) -> _Slowest:
    runs_of = (tuple(group) for _, group in groupby(rows, key=itemgetter(1)))
    # Most of them were asked about before, and their jobs are the same.
    found = shares(kept.get((_parts, _digest(run)), partial(_parts, run)) for run in runs_of)
    slow = nsmallest(
        MOST_ROWS, found.jobs.values(), lambda one: (-one.exclusive, -one.seconds, one.name, one.workflow_id)
    )
    steps = (
        (-critical, -seconds, job, name, workflow_id, n)
        for (workflow_id, job), steps in found.steps.items()
        for name, (n, seconds, critical) in steps.items()
    )
    return _Slowest(slow, nsmallest(MOST_ROWS, steps), found.path_seconds, found.runs)
