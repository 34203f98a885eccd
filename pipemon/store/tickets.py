"""Single-use tickets: good in every process, since they lie in the database, and for one minute."""

import hashlib
import secrets

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema import live_tickets

TICKET_SECONDS = 60


def issue(conn: Connection, caller: str, now: float) -> str:
    """Store a new ticket and return it; only its hash is kept. Those that are over are swept out."""
    ticket = f"pmt_{secrets.token_urlsafe(32)}"
    conn.execute(sa.delete(live_tickets).where(live_tickets.c.expires_at < now))
    row = {"hash": _hash(ticket), "caller": caller, "expires_at": now + TICKET_SECONDS}
    conn.execute(sa.insert(live_tickets).values(row))
    return ticket


def redeem(conn: Connection, ticket: str, now: float) -> str | None:
    """Return who the ticket was given to, and use it up; None where it is none, used, or over."""
    used = sa.delete(live_tickets).where(live_tickets.c.hash == _hash(ticket))
    row = conn.execute(used.returning(live_tickets.c.caller, live_tickets.c.expires_at)).one_or_none()
    return row.caller if row is not None and row.expires_at >= now else None


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
