"""How long the builds of a workflow took lately."""

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema import runs

MOST = 100


def before(conn: Connection, run_id: int) -> list[int]:
    """Return the durations, in seconds, of the last hundred successful builds of a build's workflow before it."""
    this = sa.select(runs.c.workflow_id, runs.c.created_at).where(runs.c.id == run_id).subquery()
    query = (
        sa.select(runs.c.duration_seconds)
        .join(this, this.c.workflow_id == runs.c.workflow_id)
        .where(
            runs.c.conclusion == "success",
            runs.c.created_at < this.c.created_at,
            runs.c.duration_seconds.is_not(None),
            runs.c.deleted_at.is_(None),
        )
        .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        .limit(MOST)
    )
    return [row[0] for row in conn.execute(query)]
