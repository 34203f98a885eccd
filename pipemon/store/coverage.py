"""Which ranges of time were read, and where the backfill stands."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.coverage import Range, add
from pipemon.store.schema import backfill, coverage


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The window a repository's backfill is reading, and the page that comes next."""

    from_at: int
    to_at: int
    next_page: int
    complete: bool = True


def list_ranges(conn: Connection, repository_id: int) -> list[Range]:
    """Return the read ranges in time order."""
    query = sa.select(coverage.c.from_at, coverage.c.to_at, coverage.c.complete)
    rows = conn.execute(query.where(coverage.c.repository_id == repository_id).order_by(coverage.c.from_at))
    return [Range(from_at, to_at, complete) for from_at, to_at, complete in rows]


def cover(conn: Connection, repository_id: int, new: Range) -> None:
    """Add a range that was read to its end."""
    stored = list_ranges(conn, repository_id)
    ranges = add(stored, new)
    if ranges != stored:
        _replace(conn, repository_id, ranges)


def _replace(conn: Connection, repository_id: int, ranges: Iterable[Range]) -> None:
    conn.execute(sa.delete(coverage).where(coverage.c.repository_id == repository_id))
    rows = [
        {"repository_id": repository_id, "from_at": part.from_at, "to_at": part.to_at, "complete": part.complete}
        for part in ranges
    ]
    if rows:
        conn.execute(sa.insert(coverage), rows)


def get_checkpoint(conn: Connection, repository_id: int) -> Checkpoint | None:
    """Return where the repository's backfill stands, or None between two windows."""
    query = sa.select(backfill.c.from_at, backfill.c.to_at, backfill.c.next_page, backfill.c.complete)
    row = conn.execute(query.where(backfill.c.repository_id == repository_id)).one_or_none()
    return None if row is None else Checkpoint(*row)


def set_checkpoint(conn: Connection, repository_id: int, checkpoint: Checkpoint | None) -> None:
    """Store where the repository's backfill stands; None: its window is done."""
    conn.execute(sa.delete(backfill).where(backfill.c.repository_id == repository_id))
    if checkpoint is not None:
        values = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
        conn.execute(sa.insert(backfill).values(repository_id=repository_id, **values))
