"""Which digests are in the outbox already."""

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_notifications import notifications


def is_told(conn: Connection, key: str) -> bool:
    """Whether the digest of this key was put into the outbox."""
    query = sa.select(notifications.c.id).where(notifications.c.dedupe_key == key)
    return conn.execute(query).first() is not None


def was_any_told(conn: Connection, group_key: str) -> bool:
    """Whether any message of the group ever was, whatever became of it."""
    query = sa.select(notifications.c.id).where(notifications.c.group_key == group_key).limit(1)
    return conn.execute(query).first() is not None
