"""How long what was told is kept: what is over goes after a while, what waits or is still open stays."""

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.backlog import LONGEST_WAIT_SECONDS
from pipemon.store.notifications import TOLD, WAITING
from pipemon.store.schema_notifications import notifications

# So many in one transaction, so that nobody waits for it.
SLICE = 500


def give_up_old(conn: Connection, now: float) -> int:
    """Give up what nobody could be told for too long, its channel being disabled or gone; return how many that were.

    It is kept, and can be sent again.
    """
    table, before = notifications.c, now - LONGEST_WAIT_SECONDS
    free = sa.or_(table.state != "leased", table.leased_until < now)
    waits = sa.text("notifications.state IN ('pending', 'retry', 'leased')")
    old = sa.select(table.id).where(waits, free, table.created_at < before, table.due_at < before).limit(SLICE)
    given_up = sa.update(notifications).where(table.id.in_(old.scalar_subquery()))
    error = sa.func.coalesce(table.error, "its channel took nothing for three days")
    return conn.execute(given_up.values(state="dead", leased_until=None, error=error)).rowcount


def drop_old(conn: Connection, before: float, open_before: float) -> int:
    """Drop a slice of what was told, or decided against, before then; return how many rows went.

    What waits stays. So does what an incident that is not repaired goes on from, and the newest digest: until the
    second moment.
    """
    table, later = notifications.c, notifications.alias("later")
    ends = later.c.kind.in_(("opener", "recovery"))
    follows = sa.or_(ends, (table.kind != "opener") & later.c.kind.in_(("summary", "digest")))
    same = (later.c.group_key == table.group_key) & (later.c.id > table.id) & (later.c.state != "suppressed")
    after = sa.select(later.c.id).where(same, follows)
    goes_on = (
        table.kind.in_(("opener", "summary", "digest")) & table.group_key.is_not(None) & TOLD & sa.not_(after.exists())
    )
    over = (table.created_at < before) & table.state.not_in(WAITING)
    old = sa.select(table.id).where(over, sa.or_(sa.not_(goes_on), table.created_at < open_before))
    gone = sa.delete(notifications).where(table.id.in_(old.order_by(table.created_at).limit(SLICE).scalar_subquery()))
    return conn.execute(gone).rowcount
