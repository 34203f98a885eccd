"""Whether all that GitHub knows of a window was read: a number over half a history must say so."""

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.coverage import Range, missing
from pipemon.queries.scope import Query, Scope
from pipemon.store.schema import coverage, repositories


def is_complete(conn: Connection, scope: Scope) -> bool:
    """Whether every run of the scope's window was read, in each of its repositories up to its last read."""
    ids = sorted(scope.repositories)
    reads: Query = sa.select(repositories.c.id, repositories.c.last_success_at).where(repositories.c.id.in_(ids))
    last_reads = dict(conn.execute(reads).all())
    stored: Query = sa.select(coverage.c.repository_id, coverage.c.from_at, coverage.c.to_at)
    ranges: dict[int, list[Range]] = {repository_id: [] for repository_id in ids}
    for repository_id, from_at, to_at in conn.execute(
        stored.where(coverage.c.repository_id.in_(ids), coverage.c.complete)
    ):
        ranges[repository_id].append(Range(from_at, to_at))
    return all(_reaches(ranges[repository_id], last_reads.get(repository_id), scope) for repository_id in ids)


def _reaches(ranges: list[Range], last_read: int | None, scope: Scope) -> bool:
    if last_read is None:
        return False
    to_at = last_read if scope.created_to is None else min(last_read, scope.created_to)
    return not missing(ranges, scope.created_from or 0, to_at)
