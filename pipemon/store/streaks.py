"""All incidents at once, by SQL over all attempts: what the table must be, and how it is made anew."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.runs import DECISIVE
from pipemon.store import days, events
from pipemon.store.incidents import ENDED_AT, OF_PULL_REQUEST
from pipemon.store.schema import attempts, runs
from pipemon.store.schema_rollups import incidents


def list_workflows(conn: Connection) -> list[int]:
    """Return the ids of the workflows that have runs or incidents: each is one slice of a rebuild."""
    ids = sa.union(sa.select(runs.c.workflow_id), sa.select(incidents.c.workflow_id)).subquery()
    return list(conn.execute(sa.select(ids.c.workflow_id).order_by(ids.c.workflow_id)).scalars())


def rebuild(conn: Connection, workflow_id: int) -> None:
    """Make the incidents of one workflow anew from its runs; no batch is applied meanwhile, nor is its effect lost."""
    events.lock(conn)
    opened = sa.select(incidents.c.opened_at).where(incidents.c.workflow_id == workflow_id)
    before = conn.execute(opened).scalars().all()
    conn.execute(sa.delete(incidents).where(incidents.c.workflow_id == workflow_id))
    found = of_workflow(workflow_id)
    conn.execute(sa.insert(incidents).from_select([column.name for column in found.selected_columns], found))
    days.touch(conn, [*before, *conn.execute(opened).scalars()])


def of_workflow(workflow_id: int) -> sa.Select[Any]:
    """Select the incidents of a workflow, as rows of the table."""
    edges = _edges(workflow_id)
    following: dict[str, Any] = {"partition_by": _line(edges), "order_by": edges.c.place}
    ends = {"recovered_at": "ended_at", "recovered_by": "run_id", "recovered_number": "run_number", "_place": "place"}
    paired = sa.select(
        edges,
        *(sa.func.lead(edges.c[name]).over(**following).label(label) for label, name in ends.items()),
        sa.func.lead(edges.c.number_before).over(**following).label("last_red"),
    ).subquery("paired")
    last = sa.func.coalesce(paired.c._place, paired.c.size + 1)
    own = ("run_id", "run_attempt", "repository_id", "workflow_id", "branch", "pull_request", "event", "run_number")
    return sa.select(
        *(paired.c[name] for name in own),
        paired.c.ended_at.label("opened_at"),
        (last - paired.c.place).label("failures"),
        sa.func.coalesce(paired.c.last_red, paired.c.last_number).label("last_number"),
        paired.c.before.label("last_green"),
        *(paired.c[name] for name in ("recovered_at", "recovered_by", "recovered_number")),
    ).where(paired.c.red == 1)


def _edges(workflow_id: int) -> sa.Subquery:
    """Select the attempts at which a line turns red or green.

    All between two edges are of one colour, so their places in the line tell how many failed.
    """
    decided = _decided(workflow_id)
    place = (decided.c.run_number, decided.c.run_attempt, decided.c.run_id)
    order: dict[str, Any] = {"partition_by": _line(decided), "order_by": place}
    placed = sa.select(
        decided,
        sa.func.row_number().over(**order).label("place"),
        sa.func.lag(decided.c.red).over(**order).label("red_before"),
        sa.func.lag(decided.c.run_id).over(**order).label("before"),
        sa.func.lag(decided.c.run_number).over(**order).label("number_before"),
        sa.func.count().over(partition_by=_line(decided)).label("size"),
        sa.func.max(decided.c.run_number).over(partition_by=_line(decided)).label("last_number"),
    ).subquery("placed")
    # A line that begins green has no edge there.
    return sa.select(placed).where(sa.func.coalesce(placed.c.red_before, 0) != placed.c.red).subquery("edges")


def _line(of: sa.Subquery) -> tuple[sa.ColumnElement[object], ...]:
    return (of.c.repository_id, of.c.workflow_id, of.c.branch, of.c.pull_request)


def _decided(workflow_id: int) -> sa.Subquery:
    return (
        sa.select(
            runs.c.repository_id,
            runs.c.workflow_id,
            runs.c.branch,
            OF_PULL_REQUEST.label("pull_request"),
            runs.c.event,
            runs.c.run_number,
            attempts.c.run_attempt,
            attempts.c.run_id,
            ENDED_AT.label("ended_at"),
            sa.case((attempts.c.conclusion == "success", 0), else_=1).label("red"),
        )
        .join_from(runs, attempts, attempts.c.run_id == runs.c.id)
        .where(
            runs.c.workflow_id == workflow_id,
            runs.c.deleted_at.is_(None),
            attempts.c.status == "completed",
            attempts.c.conclusion.in_(sorted(DECISIVE)),
        )
        .subquery("decided")
    )
