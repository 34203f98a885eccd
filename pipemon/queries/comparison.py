"""The workflows of a window side by side."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pipemon.analytics.arrays import Array, count, number, percentiles
from pipemon.domain.runs import is_decisive, is_failed
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.scope import Scope
from pipemon.queries.window import Basis, Tally, Window, basis, read_groups


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One workflow: how its runs of the window ended, and how long the decisive ones took. Seconds."""

    id: int
    name: str
    repository: str
    tally: Tally
    p95_seconds: float | None
    queue_seconds: float | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `/analytics/workflows/comparison` tells, the workflow with the most runs first."""

    basis: Basis
    workflows: tuple[WorkflowRow, ...]
    as_of: AsOf


def comparison(db: Source, window: Window) -> Comparison:
    """Return the workflows of the window side by side; a workflow is its id, whatever it was called when."""
    db = Look.at(db)
    rows = [
        WorkflowRow(
            id=key,
            name=db.workflow(key),
            repository=window.scope.repositories[repository_id],
            tally=ended,
            p95_seconds=p95,
            queue_seconds=queue,
            scope=replace(window.scope, workflow=str(key)),
        )
        for (repository_id, key), ended, p95, queue in over(db, "runs", window.scope, _by_workflow)
    ]
    rows.sort(key=lambda row: (-row.tally.total, row.name, row.id))
    return Comparison(basis(db, window, read_groups(db, window.scope)), tuple(rows), window.as_of)


WORKFLOW = ("repository_id", "workflow_id")


def _by_workflow(rows: Rows) -> list[tuple[tuple[Any, ...], Tally, float | None, float | None]]:
    groups, counts = rows.grouped(WORKFLOW, _ended)
    p95, queue = _percentiles(rows, "duration_seconds", 0.95), _percentiles(rows, "queue_seconds", 0.5)
    tallies = (Tally(*each) for each in zip(*(one.tolist() for one in counts), strict=True))
    return [(group, each, p95.get(group), queue.get(group)) for group, each in zip(groups, tallies, strict=True)]


def _percentiles(rows: Rows, column: str, fraction: float) -> dict[tuple[Any, ...], float]:
    """Return the percentile of each workflow's decisive runs."""
    found = [piece.kept(_tallied, column) for piece in rows.pieces]
    repository, workflow, seconds, counts = (np.concatenate([one[place] for one in found]) for place in range(4))
    key, codes = number([repository, workflow])
    values = percentiles(key, seconds, counts, fraction)
    words = (map(partial(rows.word, name), own.tolist()) for name, own in zip(WORKFLOW, codes, strict=True))
    return {group: values[place] for place, group in enumerate(zip(*words, strict=True))}


def _tallied(piece: Rows, column: str) -> tuple[Array, ...]:
    """Return how often each workflow's decisive runs have each value: repository, workflow, value, count."""
    known = piece.has("conclusion", is_decisive) & (piece["completed"] == 1) & (piece[column] >= 0)
    some = piece.where(known)
    key, codes = number([*(some[name] for name in WORKFLOW), some[column]])
    return (*codes, count(key, len(codes[0])))


def _ended(part: Rows) -> Measured:
    """Return what a Tally counts: all that completed, what succeeded and failed, what has a duration, and its sum."""
    done = part.where(part["completed"] == 1)
    good, bad = (done.has("conclusion", one) for one in (lambda end: end == "success", is_failed))
    is_timed = (good | bad) & (done["duration_seconds"] >= 0)
    return done, [None, good, bad, is_timed, np.where(is_timed, done["duration_seconds"], 0)]
