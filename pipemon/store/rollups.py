"""Sums over stretches of time that have come to rest, and the marks that say whether they still hold.

A change of a run does not move its sums, it takes them out of use, in the same transaction; they are made anew later.
So an answer is right at any moment: it reads what has changed from the runs themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema_rollups import rolled, rollups

HOUR = 3600
DAY = 86400
BLOCK = 30 * DAY
MEASURES = ("n", "good", "bad", "timed", "seconds", "low", "high")


def touch(conn: Connection, created: Iterable[int]) -> None:
    """Take the sums over runs that were created at these moments out of use."""
    moments = set(created)
    for level in (DAY, BLOCK):
        buckets = {at // level for at in moments}
        if buckets:
            ours = (rolled.c.level == level, rolled.c.bucket.in_(buckets))
            conn.execute(sa.update(rolled).where(*ours).values(touched=rolled.c.touched + 1))


def clean(conn: Connection, basis: str) -> dict[int, set[int]]:
    """Return the buckets of each level whose sums hold and are over this basis."""
    holds = (rolled.c.sealed == rolled.c.touched, rolled.c.basis == basis)
    found: dict[int, set[int]] = {DAY: set(), BLOCK: set()}
    for level, bucket in conn.execute(sa.select(rolled.c.level, rolled.c.bucket).where(*holds)):
        found[level].add(bucket)
    return found


def open_bucket(conn: Connection, level: int, bucket: int) -> int:
    """Return how often the bucket was touched: to be asked before its runs are read."""
    ours = (rolled.c.level == level, rolled.c.bucket == bucket)
    touched: int | None = conn.execute(sa.select(rolled.c.touched).where(*ours)).scalar()
    if touched is None:
        touched = 0
        conn.execute(sa.insert(rolled).values(level=level, bucket=bucket, touched=0, sealed=None, basis=""))
    return touched


def seal(conn: Connection, key: tuple[int, int], touched: int, basis: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Store a bucket's sums, unless a run of it has changed since it was opened; return whether they are stored."""
    level, bucket = key
    ours = (rolled.c.level == level, rolled.c.bucket == bucket, rolled.c.touched == touched)
    if not conn.execute(sa.update(rolled).where(*ours).values(sealed=touched, basis=basis)).rowcount:
        return False
    conn.execute(sa.delete(rollups).where(rollups.c.level == level, rollups.c.bucket == bucket))
    if level == DAY:
        hours = sa.and_(rollups.c.bucket >= bucket * 24, rollups.c.bucket < bucket * 24 + 24)
        conn.execute(sa.delete(rollups).where(rollups.c.level == HOUR, hours))
    if rows:
        conn.execute(sa.insert(rollups), list(rows))
    return True


def forget(conn: Connection) -> None:
    """Take all sums out of use."""
    conn.execute(sa.update(rolled).values(sealed=None))
