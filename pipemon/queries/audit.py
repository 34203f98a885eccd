"""The audit, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipemon.store.engine import Database
from pipemon.store.schema_actions import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """One write or refusal. `outcome` None: it was begun, and nobody told how it ended."""

    id: int
    at: int
    caller: str
    address: str | None
    method: str
    path: str
    request_id: str
    outcome: str | None
    status: int | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries below an id, newest first; ask again with `before` = `next_before` for older ones."""

    entries: Sequence[Entry]
    next_before: int | None
    as_of: int


def list_before(
    db: Database, before: int | None, limit: int, caller: str | None, outcome: str | None, now: int
) -> AuditPage:
    """Return up to `limit` entries with an id below `before` (None: the newest)."""
    query: Any = sa.select(*(audit.c[name] for name in Entry.__dataclass_fields__))
    if before is not None:
        query = query.where(audit.c.id < before)
    for column, wanted in ((audit.c.caller, caller), (audit.c.outcome, outcome)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = db.heavy(query.order_by(audit.c.id.desc()).limit(limit + 1))
    entries = [Entry(*row) for row in rows[:limit]]
    return AuditPage(entries, entries[-1].id if len(rows) > limit else None, now)
