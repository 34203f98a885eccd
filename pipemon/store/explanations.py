"""Messages that wait until it is known why a build failed, and what they are told then."""

import json

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store import failures
from pipemon.store.failures import Why
from pipemon.store.schema import events
from pipemon.store.schema_notifications import notifications

# What is due later waits for something else: the end of quiet hours.
SOON_SECONDS = 60.0


def why(conn: Connection, event_id: int | None) -> Why | None:
    """Return why the build of an event, or the job that it names, failed; None where that is not known."""
    columns = (events.c.run_id, events.c.run_attempt, events.c.type, events.c.data)
    row = conn.execute(sa.select(*columns).where(events.c.id == event_id)).one_or_none()
    if row is None or row.run_id is None:
        return None
    job_id = json.loads(row.data)["job_id"] if row.type == "job_failed" else None
    return failures.why(conn, row.run_id, row.run_attempt or 1, job_id)


def is_complete(conn: Connection, event_id: int) -> bool:
    """Whether all is known of why the build of an event failed."""
    run_id = conn.execute(sa.select(events.c.run_id).where(events.c.id == event_id)).scalar_one_or_none()
    return run_id is not None and why(conn, event_id) is not None and not failures.is_wanted(conn, run_id)


def hasten(conn: Connection, run_id: int, now: float) -> None:
    """Let the messages about a build that wait for an explanation go, once all that will be known is known."""
    if failures.is_wanted(conn, run_id):
        return
    table = notifications.c
    of_failure = (table.kind == "opener") | (table.event_type == "job_failed")
    waiting = (table.state == "pending") & of_failure & (table.due_at > now) & (table.due_at < now + SOON_SECONDS)
    of_run = table.event_id.in_(sa.select(events.c.id).where(events.c.run_id == run_id))
    conn.execute(sa.update(notifications).where(waiting, of_run).values(due_at=now))


def retell(conn: Connection, notification_id: int, message: str, text: str) -> None:
    """Store a message as it is really sent."""
    conn.execute(
        sa.update(notifications).where(notifications.c.id == notification_id).values(message=message, text=text)
    )
