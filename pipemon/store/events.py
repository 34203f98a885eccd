"""The event log: gap-free ids in commit order, each transition once."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.events import Event
from pipemon.store.schema import event_log, events

# SQLite takes at most 32,766 bound values; this also keeps a statement's text small.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Position:
    """Where the log stands."""

    epoch: str
    last_id: int
    revision: int


def position(conn: Connection) -> Position:
    """Return where the log stands in this transaction's snapshot."""
    row = conn.execute(sa.select(event_log.c.epoch, event_log.c.last_id, event_log.c.revision)).one()
    return Position(*row)


def lock(conn: Connection) -> None:
    """Take the log's row: whoever holds it writes alone until commit, so that ids follow the order of commits."""
    conn.execute(sa.update(event_log).values(revision=event_log.c.revision))


def bump_revision(conn: Connection) -> None:
    """Say that an answer may differ from now on."""
    conn.execute(sa.update(event_log).values(revision=event_log.c.revision + 1))


def append(conn: Connection, news: Sequence[Event], now: float) -> int:
    """Append the events that are not in the log yet, in this order; return how many. The log must be locked."""
    found = fresh(conn, news)
    if not found:
        return 0
    moved = sa.update(event_log).values(last_id=event_log.c.last_id + len(found)).returning(event_log.c.last_id)
    first_id = conn.execute(moved).scalar_one() - len(found) + 1
    rows = [_row(event, first_id + offset, now) for offset, event in enumerate(found)]
    conn.execute(sa.insert(events), rows)
    return len(rows)


def fresh(conn: Connection, news: Sequence[Event]) -> list[Event]:
    """Return those of the events that are not in the log yet, each once."""
    known = _known_keys(conn, [event.dedupe_key for event in news])
    return list({event.dedupe_key: event for event in news if event.dedupe_key not in known}.values())


def _known_keys(conn: Connection, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        query = sa.select(events.c.dedupe_key).where(events.c.dedupe_key.in_(keys[start : start + CHUNK]))
        found.update(conn.execute(query).scalars())
    return found


def _row(event: Event, event_id: int, now: float) -> dict[str, object]:
    return {
        "id": event_id,
        "type": event.type,
        "topic": event.topic,
        "repository": event.repository,
        "dedupe_key": event.dedupe_key,
        "run_id": event.run_id,
        "run_attempt": event.run_attempt,
        "occurred_at": event.occurred_at,
        "recorded_at": now,
        "historic": event.historic,
        "data": json.dumps(event.data, separators=(",", ":")),
    }


def list_after(conn: Connection, after: int, limit: int, types: Iterable[str] = ()) -> list[sa.Row[tuple[object, ...]]]:
    """Return up to `limit` events with an id above `after`, in id order."""
    query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
    wanted = list(types)
    return list(conn.execute(query.where(events.c.type.in_(wanted)) if wanted else query))


def get(conn: Connection, event_id: int) -> sa.Row[tuple[object, ...]] | None:
    """Return one event; None where the log does not hold it any more."""
    return conn.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()


def newest_id(conn: Connection, event_type: str, after: int = 0) -> int | None:
    """Return the id of the newest event of this type with an id above `after`."""
    query = sa.select(events.c.id).where(events.c.type == event_type, events.c.id > after)
    return conn.execute(query.order_by(events.c.id.desc()).limit(1)).scalar()


def count_news(conn: Connection, after: int, until: int, types: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return per repository the last id and the number of the events in (after, until] that are news of these types."""
    query = (
        sa.select(events.c.repository, sa.func.max(events.c.id), sa.func.count())
        .where(events.c.id > after, events.c.id <= until, events.c.type.in_(list(types)), sa.not_(events.c.historic))
        .group_by(events.c.repository)
        .order_by(events.c.repository)
    )
    return {name: (last_id, count) for name, last_id, count in conn.execute(query)}


def start_of(conn: Connection, since: float, most: int) -> tuple[int, bool, int | None]:
    """Return after which id the log tells of what was recorded since then, the last `most` events at the most.

    Also whether that is all of it, since the log may begin later, and when the first of them was recorded.
    """
    first = conn.execute(sa.select(sa.func.min(events.c.id)).where(events.c.recorded_at >= since)).scalar()
    oldest, last = conn.execute(sa.select(sa.func.min(events.c.id), sa.func.max(events.c.id))).one()
    if first is None or last is None:
        return last or 0, oldest is not None, None
    start = max(first, last - most + 1)
    at = conn.execute(sa.select(events.c.recorded_at).where(events.c.id == start)).scalar()
    return start - 1, start == first and oldest < first, None if at is None else int(at)
