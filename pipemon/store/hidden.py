"""What an outage of ours has hidden: branches that broke, or were repaired, while nobody looked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema import events, repositories
from pipemon.store.schema_notifications import notifications
from pipemon.store.schema_rollups import incidents

# What happened shortly before the last read may not have been in it.
OVERLAP_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Away:
    """A repository that was not read from one moment to another, and has been read whole since."""

    repository_id: int
    since: int
    until: int


def list_away(conn: Connection) -> list[Away]:
    """Return the repositories whose gap is filled, and was not looked into yet."""
    table = repositories.c
    columns = (table.id, table.away_since, table.live_since)
    swept = sa.and_(table.away_since.is_not(None), table.swept_at >= table.live_since)
    return [Away(*row) for row in conn.execute(sa.select(*columns).where(table.watched, swept).order_by(table.id))]


def list_broken(conn: Connection, gap: Away) -> Sequence[Any]:
    """Return the incidents that began in the gap, are open still, and were told to nobody."""
    table = incidents.c
    began = table.opened_at.between(gap.since - OVERLAP_SECONDS, gap.until - 1)
    ours = sa.and_(table.repository_id == gap.repository_id, table.recovered_at.is_(None), began)
    query = sa.select(incidents).where(ours, sa.not_(_is_decided(table.run_id)))
    return conn.execute(query.order_by(table.opened_at, table.run_id)).all()


def list_repaired(conn: Connection, gap: Away) -> Sequence[Any]:
    """Return the incidents that began before the gap and ended in it, of which nobody was told."""
    table = incidents.c
    ended = table.recovered_at.between(gap.since - OVERLAP_SECONDS, gap.until - 1)
    ours = sa.and_(table.repository_id == gap.repository_id, ended, table.opened_at < gap.since)
    query = sa.select(incidents).where(ours, sa.not_(_is_decided(table.recovered_by)))
    return conn.execute(query.order_by(table.recovered_at, table.run_id)).all()


def looked_into(conn: Connection, gap: Away) -> None:
    """Record that what the gap has hidden is in the log."""
    ours = (repositories.c.id == gap.repository_id) & (repositories.c.live_since == gap.until)
    conn.execute(sa.update(repositories).where(ours).values(away_since=None))


def _is_decided(run_id: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether there is a message about the run's end already."""
    ended = sa.and_(events.c.run_id == run_id, events.c.type.in_(("build_failed", "build_timeout", "build_succeeded")))
    told = sa.select(events.c.id).join(notifications, notifications.c.event_id == events.c.id)
    return told.where(ended).exists()
