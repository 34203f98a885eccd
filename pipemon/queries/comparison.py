"""The workflows of a window side by side."""

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.queries import rolled
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import COMPLETED, IS_DECISIVE, Query, Scope, where
from pipemon.queries.window import Basis, Tally, Window, basis, read_groups
from pipemon.store.engine import Database
from pipemon.store.schema import runs, workflows


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


def comparison(db: Database, window: Window) -> Comparison:
    """Return the workflows of the window side by side; a workflow is its id, whatever it was called when."""
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    found = {tuple(map(int, one.item.split("/"))): one for one in rolled.read(db, window.scope, "workflow")}
    p95 = _percentiles(db, window.scope, runs.c.duration_seconds, 0.95)
    queue = _percentiles(db, window.scope, runs.c.queue_seconds, 0.5)
    rows = [
        WorkflowRow(
            id=key,
            name=names.get(key, str(key)),
            repository=window.scope.repositories[repository_id],
            tally=Tally(one.n, one.good, one.bad, one.timed, one.seconds),
            p95_seconds=p95.get(key),
            queue_seconds=queue.get(key),
            scope=replace(window.scope, workflow=str(key)),
        )
        for (repository_id, key), one in found.items()
    ]
    rows.sort(key=lambda row: (-row.tally.total, row.name, row.id))
    return Comparison(basis(db, window, read_groups(db, window.scope)), tuple(rows), window.as_of)


def _percentiles(db: Database, scope: Scope, column: sa.ColumnElement[int], fraction: float) -> dict[int, float]:
    """Return a percentile of each workflow's decisive runs; the database hands out only the ranks around it."""
    line: dict[str, Any] = {"partition_by": runs.c.workflow_id}
    ranked = (
        sa.select(
            runs.c.workflow_id,
            column.label("value"),
            (sa.func.row_number().over(order_by=column, **line) - 1).label("rank"),
            (sa.func.count().over(**line) - 1).label("last"),
        )
        .where(COMPLETED, IS_DECISIVE, column.is_not(None), *where(scope))
        .subquery()
    )
    wanted = ranked.c.last * sa.literal(fraction, sa.Float)
    query: Query = sa.select(ranked).where(ranked.c.rank >= wanted - 1, ranked.c.rank <= wanted + 1)
    found: dict[int, tuple[int, dict[int, int]]] = {}
    for workflow_id, value, rank, last in db.heavy(query):
        found.setdefault(workflow_id, (last, {}))[1][rank] = value
    return {key: _between(ranks, fraction * last) for key, (last, ranks) in found.items()}


def _between(values: dict[int, int], rank: float) -> float:
    """Return the value at a rank that may lie between two."""
    low = values[int(rank)]
    return low + (values.get(int(rank) + 1, low) - low) * (rank - int(rank))
