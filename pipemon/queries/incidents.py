"""The red streaks of each workflow on each branch, found by the database in one pass over the attempts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.analytics import incidents
from pipemon.domain.runs import DECISIVE
from pipemon.queries.runs import AUTHOR, NAME
from pipemon.queries.scope import OF_PULL_REQUEST, Query, Scope, where
from pipemon.store.engine import Database
from pipemon.store.schema import attempts, runs


@dataclass(frozen=True, slots=True)
class Incident:
    """One red streak. Unix seconds; `recovered_at` and `recovered_by` are None while it is open.

    `failures` counts its failed attempts; `last_green` is the run before it, None where no success is known.
    """

    failure_id: int
    repository: str
    workflow_id: int
    workflow: str | None
    branch: str | None
    sha: str | None
    author: str | None
    pull_request: bool
    started_at: int
    failures: int
    last_green: int | None
    recovered_at: int | None
    recovered_by: int | None

    @property
    def seconds(self) -> int | None:
        """How long it lasted; None while it is open. GitHub's numbering and its clock may disagree: never below 0."""
        return None if self.recovered_at is None else max(0, self.recovered_at - self.started_at)


def list_in(db: Database, scope: Scope) -> list[Incident]:
    """Return the incidents that recovered in the scope's window, and those open at its end that began in it.

    Newest first. What happened after the window's end is not known to them.
    """
    names = scope.repositories
    return [_to_incident(row, names[row[1]]) for row in db.heavy(_in_window(scope))]


def recovery_of(found: Iterable[Incident]) -> incidents.Recovery:
    """Return how long the recovered ones lasted."""
    return incidents.recovery(one.seconds for one in found if one.seconds is not None)


def _to_incident(row: tuple[object, ...], repository: str) -> Incident:
    key, _, *rest = row
    return Incident(key, repository, *rest)  # type: ignore[arg-type]


def _in_window(scope: Scope) -> Query:
    edges = _edges(scope)
    following: dict[str, Any] = {"partition_by": _line(edges), "order_by": edges.c.place}
    paired = sa.select(
        edges,
        sa.func.lead(edges.c.ended_at).over(**following).label("recovered_at"),
        sa.func.lead(edges.c.run_id).over(**following).label("recovered_by"),
        sa.func.lead(edges.c.place).over(**following).label("recovered_place"),
    ).subquery("paired")
    at = sa.func.coalesce(paired.c.recovered_at, paired.c.ended_at)
    last = sa.func.coalesce(paired.c.recovered_place, paired.c.size + 1)
    query: Query = sa.select(
        paired.c.run_id,
        runs.c.repository_id,
        runs.c.workflow_id,
        NAME,
        runs.c.branch,
        runs.c.sha,
        AUTHOR,
        paired.c.of_pull_request,
        paired.c.ended_at,
        last - paired.c.place,
        paired.c.before,
        paired.c.recovered_at,
        paired.c.recovered_by,
    ).join_from(paired, runs, runs.c.id == paired.c.run_id)
    query = query.where(paired.c.red == 1, at >= (scope.created_from or 0))
    return query.order_by(paired.c.ended_at.desc(), paired.c.run_id.desc())


def _edges(scope: Scope) -> sa.Subquery:
    """Select the attempts at which a line turns red or green.

    All between two edges are of one colour, so their places in the line tell how many failed.
    """
    decided = _decided(scope)
    order: dict[str, Any] = {"partition_by": _line(decided), "order_by": (decided.c.run_number, decided.c.run_attempt)}
    placed = sa.select(
        decided,
        sa.func.row_number().over(**order).label("place"),
        sa.func.lag(decided.c.red).over(**order).label("red_before"),
        sa.func.lag(decided.c.run_id).over(**order).label("before"),
        sa.func.count().over(partition_by=_line(decided)).label("size"),
    ).subquery("placed")
    # A line that begins green has no edge there.
    return sa.select(placed).where(sa.func.coalesce(placed.c.red_before, 0) != placed.c.red).subquery("edges")


def _line(of: sa.Subquery) -> tuple[sa.ColumnElement[object], ...]:
    """Return what one line of attempts has in common. Pull requests' runs have lines of their own."""
    return (of.c.repository_id, of.c.workflow_id, of.c.branch, of.c.of_pull_request)


def _decided(scope: Scope) -> sa.Subquery:
    """Select every decisive attempt that ended before the window does, whenever its run was created."""
    always = replace(scope, created_from=None, created_to=None)
    ended_at = sa.func.coalesce(attempts.c.completed_at, attempts.c.updated_at)
    query = (
        sa.select(
            runs.c.repository_id,
            runs.c.workflow_id,
            runs.c.branch,
            OF_PULL_REQUEST.label("of_pull_request"),
            runs.c.run_number,
            attempts.c.run_attempt,
            attempts.c.run_id,
            ended_at.label("ended_at"),
            sa.case((attempts.c.conclusion == "success", 0), else_=1).label("red"),
        )
        .join_from(runs, attempts, attempts.c.run_id == runs.c.id)
        .where(attempts.c.status == "completed", attempts.c.conclusion.in_(sorted(DECISIVE)), *where(always))
    )
    if scope.created_to is not None:
        query = query.where(ended_at < scope.created_to)
    return query.subquery("decided")
