"""The event log, page by page in the order of its ids."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Query
from pipemon.store.engine import Database
from pipemon.store.events import position
from pipemon.store.schema import events


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as the log holds it. `recorded_at` has a fraction of a second; `data` is what its type promises."""

    id: int
    type: str
    topic: str
    repository: str
    occurred_at: int
    recorded_at: float
    historic: bool
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after an id. `last_event_id` is what to ask after next; the log holds nothing below `first_event_id`."""

    events: Sequence[LoggedEvent]
    first_event_id: int
    last_event_id: int
    has_more: bool
    epoch: str
    as_of: AsOf


def list_after(
    db: Database, after: int, limit: int, types: Collection[str], repositories: Collection[str], as_of: AsOf
) -> EventPage:
    """Return up to `limit` events with an id above `after`, of these types (none: all) and repositories.

    Where nothing follows, `last_event_id` is the end of the log, so that what was filtered out is not read again.
    """
    with db.read() as conn:
        # Before the rows: what is appended in between is the next page's.
        end = position(conn)
        first = conn.execute(sa.select(sa.func.min(events.c.id))).scalar_one()
    rows = db.heavy(_page(after, end.last_id, limit + 1, types, repositories))
    shown = [_event(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    # A client that is ahead of the log is told where the log stands, and by the epoch that it was another one.
    last_id = shown[-1].id if has_more else end.last_id
    return EventPage(shown, first or end.last_id + 1, last_id, has_more, end.epoch, as_of)


def _page(after: int, until: int, limit: int, types: Collection[str], repositories: Collection[str]) -> Query:
    columns = [events.c[name] for name in LoggedEvent.__dataclass_fields__]
    query: Query = sa.select(*columns).where(events.c.id > after, events.c.id <= until)
    # What was sent by hand is about none.
    query = query.where(events.c.repository.in_(["", *sorted(repositories)]))
    if types:
        query = query.where(events.c.type.in_(sorted(types)))
    return query.order_by(events.c.id).limit(limit)


def _event(row: Sequence[Any]) -> LoggedEvent:
    number, name, topic, repository, occurred_at, recorded_at, historic, data = row
    return LoggedEvent(number, name, topic, repository, occurred_at, recorded_at, bool(historic), json.loads(data))
