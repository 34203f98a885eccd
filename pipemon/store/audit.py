"""The audit as rows: begun before a write, closed after it."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_actions import audit

LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """Who asked for what, and when (Unix seconds)."""

    at: int
    caller: str
    address: str | None
    method: str
    path: str
    request_id: str


def begin(conn: Connection, entry: Entry) -> int:
    """Record that something will be tried; return the row's id."""
    row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    row |= {"path": plain(entry.path), "address": plain(entry.address)}
    made: int = conn.execute(sa.insert(audit).values(row).returning(audit.c.id)).scalar_one()
    return made


def close(conn: Connection, entry_id: int, outcome: str, status: int, detail: str | None) -> None:
    """Record how it ended; what ended once is never changed."""
    values = {"outcome": outcome, "status": status, "detail": plain(detail)}
    conn.execute(sa.update(audit).where(audit.c.id == entry_id, audit.c.outcome.is_(None)).values(values))


def plain(text: str | None) -> str | None:
    """Return a text in one line without control or formatting characters: nobody forges a line of a log with it."""
    if text is None:
        return None
    return "".join(char if char.isprintable() else " " for char in text[:LONGEST_TEXT])
