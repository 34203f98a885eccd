"""Webhook deliveries as rows: stored before they are answered, waiting until they are applied, kept for a while."""

import zlib
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from pipemon.store.schema import deliveries

# Of what waits: beyond it nothing more is taken in, and GitHub is told so.
MOST_WAITING = 50_000
MOST_WAITING_BYTES = 512 * 1024 * 1024
# Of all rows and bodies: beyond it the oldest that are done go first.
MOST_ROWS = 500_000
MOST_BYTES = 1024 * 1024 * 1024
BODY_SECONDS = 86_400
ROW_SECONDS = 7 * 86_400

_waits = deliveries.c.result.is_(None)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as it came. Without a result it waits to be applied; `packed` is its body, by `pack`."""

    guid: str
    event: str
    received_at: float
    action: str | None = None
    repository: str | None = None
    repository_id: int | None = None
    packed: bytes | None = None
    result: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery to be applied. `repository_id` is ours; `tries` came to nothing so far."""

    id: int
    event: str
    repository_id: int
    received_at: float
    tries: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How many deliveries wait, and the bytes they take."""

    count: int
    size_bytes: int

    @property
    def full(self) -> bool:
        """Whether nothing more may be taken in."""
        return self.count >= MOST_WAITING or self.size_bytes >= MOST_WAITING_BYTES


def pack(body: bytes) -> bytes:
    """Return a body as it is stored."""
    return zlib.compress(body, 1)


def add(conn: Connection, delivery: Delivery) -> bool:
    """Store a delivery; False where one with its guid is stored already."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    values = {
        "guid": delivery.guid,
        "event": delivery.event,
        "action": delivery.action,
        "repository": delivery.repository,
        "repository_id": delivery.repository_id,
        "received_at": delivery.received_at,
        "due_at": delivery.received_at,
        "applied_at": None if delivery.result is None else delivery.received_at,
        "result": delivery.result,
        "why": delivery.why,
        "tries": 0,
        "size_bytes": len(delivery.packed or b""),
        "body": delivery.packed,
    }
    statement = insert(deliveries).values(values).on_conflict_do_nothing(index_elements=["guid"])
    return conn.execute(statement.returning(deliveries.c.id)).first() is not None


def revive(conn: Connection, delivery: Delivery) -> bool:
    """Let a delivery that waits, or that was given up, have its next try now; False where it is done."""
    table = deliveries.c
    undone = sa.or_(_waits, table.result == "failed")
    where = (table.guid == delivery.guid) & (table.event == delivery.event) & undone
    values = {
        "result": None,
        "why": None,
        "applied_at": None,
        "tries": 0,
        "due_at": delivery.received_at,
        "size_bytes": len(delivery.packed or b""),
        "body": delivery.packed,
    }
    return conn.execute(sa.update(deliveries).where(where).values(values)).rowcount == 1


def depth(conn: Connection) -> Depth:
    """Return how many deliveries wait."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(deliveries.c.size_bytes), 0)).where(_waits)
    count, size = conn.execute(query).one()
    return Depth(count, int(size))


def list_waiting(conn: Connection, now: float, limit: int) -> list[Waiting]:
    """Return the deliveries to be applied now, in the order of their arrival."""
    table = deliveries.c
    query = sa.select(table.id, table.event, table.repository_id, table.received_at, table.tries)
    query = query.where(_waits, table.due_at <= now).order_by(table.id).limit(limit)
    return [Waiting(*row) for row in conn.execute(query)]


def get_body(conn: Connection, delivery_id: int) -> bytes | None:
    """Return the body of a delivery that still waits; None where it does not, or its body is lost."""
    where = (deliveries.c.id == delivery_id) & _waits
    packed = conn.execute(sa.select(deliveries.c.body).where(where)).scalar_one_or_none()
    return None if packed is None else zlib.decompress(packed)


def finish(conn: Connection, delivery_id: int, result: str, at: float, why: str | None = None) -> bool:
    """Record what became of a delivery; False where that was recorded already."""
    where = (deliveries.c.id == delivery_id) & _waits
    values = {"result": result, "why": why, "applied_at": at}
    return conn.execute(sa.update(deliveries).where(where).values(values)).rowcount == 1


def postpone(conn: Connection, delivery_id: int, due_at: float, why: str, tried: bool) -> None:
    """Leave a delivery for later. `tried`: it counts as a try that came to nothing."""
    where = (deliveries.c.id == delivery_id) & _waits
    values = {"due_at": due_at, "why": why[:500], "tries": deliveries.c.tries + int(tried)}
    conn.execute(sa.update(deliveries).where(where).values(values))


def prune(conn: Connection, now: float) -> int:
    """Drop bodies and rows that have had their time, and the oldest beyond the caps; return how many rows went."""
    table = deliveries.c
    no_body = {"body": None, "size_bytes": 0}
    done = table.result.in_(["applied", "ignored"])
    old = (table.received_at < now - BODY_SECONDS) & table.body.is_not(None)
    conn.execute(sa.update(deliveries).where(done, old).values(no_body))
    conn.execute(
        sa.update(deliveries).where(sa.not_(_waits), table.id <= _beyond(table.size_bytes, MOST_BYTES)).values(no_body)
    )
    gone = conn.execute(sa.delete(deliveries).where(table.received_at < now - ROW_SECONDS)).rowcount
    return (
        gone
        + conn.execute(
            sa.delete(deliveries).where(sa.not_(_waits), table.id <= _beyond(sa.literal(1), MOST_ROWS))
        ).rowcount
    )


def _beyond(amount: sa.ColumnElement[int], most: int) -> sa.ScalarSelect[int]:
    """Return the newest id with which the sum over it and all newer rows passes the most."""
    total = sa.func.sum(amount).over(order_by=deliveries.c.id.desc()).label("total")
    sums = sa.select(deliveries.c.id, total).subquery()
    return sa.select(sa.func.max(sums.c.id)).where(sums.c.total > most).scalar_subquery()
