"""The workflows of a window side by side."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import Array, percentiles
from pipemon.domain.runs import is_decisive, is_failed
from pipemon.queries.columns import Look, Source, over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.scope import Scope
from pipemon.queries.window import Basis, Tally, Window, basis, read_groups
from pipemon.store.schema import workflows


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
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    rows = [
        WorkflowRow(
            id=key,
            name=names.get(key, str(key)),
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
    decisive = rows.where((rows["completed"] == 1) & rows.has("conclusion", is_decisive))
    key, known = decisive.keyed(*WORKFLOW)
    p95, queue = (
        dict(zip(known, map(_of(key, decisive[name], fraction).get, range(len(known))), strict=True))
        for name, fraction in (("duration_seconds", 0.95), ("queue_seconds", 0.5))
    )
    tallies = (Tally(*each) for each in zip(*(one.tolist() for one in counts), strict=True))
    return [(group, each, p95.get(group), queue.get(group)) for group, each in zip(groups, tallies, strict=True)]


def _of(key: Array, seconds: Array, fraction: float) -> dict[int, float]:
    """Return the percentile of each key's seconds that are known."""
    is_known = seconds >= 0
    return percentiles(key[is_known], seconds[is_known], fraction)


def _ended(part: Rows) -> Measured:
    """Return what a Tally counts: all that completed, what succeeded and failed, what has a duration, and its sum."""
    done = part.where(part["completed"] == 1)
    good, bad = (done.has("conclusion", one) for one in (lambda end: end == "success", is_failed))
    is_timed = (good | bad) & (done["duration_seconds"] >= 0)
    return done, [None, good, bad, is_timed, np.where(is_timed, done["duration_seconds"], 0)]
