"""Which sheets of packed deployments there are, and whether they still hold.

A change of a deployment does not move its sheet, it takes it out of use, in the same transaction; it is packed anew
later. So an answer is right at any moment: what does not hold is read from the deployments themselves.
"""

import time
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_deployments import deployments, sheets

# `touched` begins with the time: an id that is given out again must not come with a number that was there before.
MONTH = 30 * 86400
HOLDS = sa.func.coalesce(sheets.c.packed, -1) == sheets.c.touched


class Packed(NamedTuple):
    """A sheet as it is stored."""

    rows: bytes
    leads: bytes
    successes: int


def touch(conn: Connection, repository_id: int, environment: str, moments: Collection[int]) -> None:
    """Take out of use the sheets of an environment on which something finished, or had finished, at these moments.

    And those up to the next success: what follows up to it is told by what was before.
    """
    ours = (sheets.c.repository_id == repository_id, sheets.c.environment == environment)
    _begin(conn, repository_id, environment, {at // MONTH for at in moments})
    # Of the moments of one month the last reaches the furthest.
    for at in {at // MONTH: at for at in sorted(moments)}.values():
        end = conn.execute(_next_success(repository_id, environment, at)).scalar()
        reach = [sheets.c.month >= at // MONTH] + ([] if end is None else [sheets.c.month <= end // MONTH])
        conn.execute(sa.update(sheets).where(*ours, *reach).values(touched=sheets.c.touched + 1))


def _next_success(repository_id: int, environment: str, after: int) -> sa.Select[Any]:
    table = deployments.c
    line = (table.repository_id == repository_id, table.environment == environment, table.deployed_at.is_not(None))
    query = sa.select(table.finished_at).where(*line, table.finished_at > after)
    return query.order_by(table.finished_at, table.id).limit(1)


def _begin(conn: Connection, repository_id: int, environment: str, months: Iterable[int]) -> None:
    """Add the sheets that are wanted and not there yet."""
    line = (sheets.c.repository_id == repository_id, sheets.c.environment == environment)
    known = {tuple(row) for row in conn.execute(sa.select(sheets.c.source, sheets.c.month).where(*line))}
    table = deployments.c
    for month in months:
        within = (table.finished_at >= month * MONTH, table.finished_at < (month + 1) * MONTH)
        own = (table.repository_id == repository_id, table.environment == environment)
        for source in conn.execute(sa.select(table.source).where(*own, *within).distinct()).scalars():
            if (source, month) not in known:
                row = {"repository_id": repository_id, "environment": environment, "source": source, "month": month}
                conn.execute(sa.insert(sheets).values(**row, touched=time.time_ns()))


def touch_commits(conn: Connection, shas: Collection[str]) -> None:
    """Take out of use the sheets with deployments of these commits: more is known of them now."""
    if not shas:
        return
    table = deployments.c
    query = sa.select(table.repository_id, table.environment, table.finished_at).where(table.sha.in_(sorted(shas)))
    for repository_id, environment, at in conn.execute(query.where(table.finished_at.is_not(None))).all():
        touch(conn, repository_id, environment, [at])


def drop_stand_ins(conn: Connection, repository_id: int) -> None:
    """Forget the sheets of a repository's runs that stood in."""
    conn.execute(sa.delete(sheets).where(sheets.c.repository_id == repository_id, sheets.c.source == "workflow"))


def renew(conn: Connection) -> None:
    """Begin all sheets anew from the deployments; none of them is packed."""
    conn.execute(sa.delete(sheets))
    table = deployments.c
    line = (table.repository_id, table.environment, table.source, (table.finished_at // MONTH).label("month"))
    every = (
        sa.select(*line, sa.literal(time.time_ns(), sa.BigInteger).label("touched"))
        .where(table.finished_at.is_not(None))
        .distinct()
    )
    conn.execute(sa.insert(sheets).from_select(["repository_id", "environment", "source", "month", "touched"], every))


def put(conn: Connection, sheet_id: int, touched: int, sheet: Packed) -> None:
    """Store a sheet as it was packed when it had been touched so often: it holds if it has not been since."""
    values = {"packed": touched, "successes": sheet.successes, "rows": sheet.rows, "leads": sheet.leads}
    conn.execute(sa.update(sheets).where(sheets.c.id == sheet_id).values(**values))
