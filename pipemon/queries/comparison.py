"""The workflows of a window side by side."""

from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import count, percentiles, total
from pipemon.domain.runs import is_failed
from pipemon.queries.columns import Look, Source, over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Rows
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


def _by_workflow(rows: Rows) -> list[tuple[tuple[int, int], Tally, float | None, float | None]]:
    done = rows.where(rows["completed"] == 1)
    key, groups = done.keyed("repository_id", "workflow_id")
    size = len(groups)
    good, bad = (done.has("conclusion", one) for one in (lambda end: end == "success", is_failed))
    seconds, waited = done["duration_seconds"], done["queue_seconds"]
    is_timed, is_queued = (good | bad) & (seconds >= 0), (good | bad) & (waited >= 0)
    sums = total(key[is_timed], size, seconds[is_timed])
    counts = np.stack([count(key, size), *(count(key, size, one) for one in (good, bad, is_timed)), sums], axis=1)
    p95 = percentiles(key[is_timed], seconds[is_timed], 0.95)
    queue = percentiles(key[is_queued], waited[is_queued], 0.5)
    return [
        (group, Tally(*map(int, each)), p95.get(place), queue.get(place))
        for place, (group, each) in enumerate(zip(groups, counts, strict=True))
    ]
