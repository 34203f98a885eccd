"""Whether all that GitHub knows of a window was read: a number over half a history must say so."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.coverage import Range, missing
from pipemon.queries.scope import Query, Scope
from pipemon.store.schema import coverage, repositories

MOST_GAPS = 100


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a repository's history that was not read, by `created_at`. Unix seconds."""

    repository: str
    from_at: int
    to_at: int


def is_complete(conn: Connection, scope: Scope) -> bool:
    """Whether every run of the scope's window was read, in each of its repositories up to its last read."""
    return next(_gaps(conn, scope), None) is None


def list_gaps(conn: Connection, scope: Scope) -> list[Gap]:
    """Return the first 100 stretches of the scope's window that were not read."""
    return list(islice(_gaps(conn, scope), MOST_GAPS))


def _gaps(conn: Connection, scope: Scope) -> Iterator[Gap]:
    ids = sorted(scope.repositories)
    reads: Query = sa.select(repositories.c.id, repositories.c.last_success_at).where(repositories.c.id.in_(ids))
    last_reads = dict(conn.execute(reads).all())
    stored: Query = sa.select(coverage.c.repository_id, coverage.c.from_at, coverage.c.to_at)
    ranges: dict[int, list[Range]] = {repository_id: [] for repository_id in ids}
    for repository_id, from_at, to_at in conn.execute(
        stored.where(coverage.c.repository_id.in_(ids), coverage.c.complete)
    ):
        ranges[repository_id].append(Range(from_at, to_at))
    for repository_id in ids:
        for gap in _missing(ranges[repository_id], last_reads.get(repository_id), scope):
            yield Gap(scope.repositories[repository_id], gap.from_at, gap.to_at)


def _missing(ranges: list[Range], last_read: int | None, scope: Scope) -> list[Range]:
    begin = scope.created_from or 0
    if last_read is None:
        return [Range(begin, begin if scope.created_to is None else scope.created_to)]
    to_at = last_read if scope.created_to is None else min(last_read, scope.created_to)
    return missing(ranges, begin, to_at)
