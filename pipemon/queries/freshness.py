"""Up to when the stored data is true: what every answer's `timestamp`, `data_state` and ETag are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.times import bucket_start
from pipemon.queries.scope import UNFINISHED
from pipemon.store.events import position
from pipemon.store.schema import repositories, runs


@dataclass(frozen=True, slots=True)
class RepositoryFreshness:
    """How far the reading of one watched repository has come. `running` of its `unfinished` runs are in progress."""

    id: int
    name: str
    default_branch: str | None
    last_success_at: int | None
    due_by: int | None
    interval_seconds: int | None
    last_error: str | None
    running: int
    unfinished: int

    def data_state(self, now: float) -> str:
        """Return "fresh" until the next read is overdue, then "stale"; "never" before the first read."""
        if self.last_success_at is None:
            return "never"
        return "fresh" if self.due_by is not None and now <= self.due_by else "stale"


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Where the log stands, and the freshness of every watched repository, at one moment of the database.

    Compared by identity: a new read is a new snapshot.
    """

    epoch: str
    revision: int
    last_id: int
    repositories: tuple[RepositoryFreshness, ...]

    def equals(self, other: "Snapshot") -> bool:
        """Whether both tell the same."""
        mine = (self.epoch, self.revision, self.last_id, self.repositories)
        return mine == (other.epoch, other.revision, other.last_id, other.repositories)

    def names(self) -> dict[int, str]:
        """Return the watched repositories, name by id."""
        return {repository.id: repository.name for repository in self.repositories}


@dataclass(frozen=True, slots=True)
class AsOf:
    """The moment up to which an answer is true, and whether that is as planned. Seconds."""

    timestamp: int
    data_state: str
    lag_seconds: int | None


@dataclass(frozen=True, slots=True)
class Reach:
    """The freshness of several repositories as one. `reads` pairs (due_by, last_success_at) of those ever read."""

    reads: tuple[tuple[int, int], ...]
    unread: bool
    running: int


def read(conn: Connection) -> Snapshot:
    """Return how far the database has come."""
    end = position(conn)
    open_runs = (
        sa.select(runs.c.repository_id, runs.c.status, sa.func.count())
        .where(UNFINISHED, runs.c.deleted_at.is_(None))
        .group_by(runs.c.repository_id, runs.c.status)
    )
    running: dict[int, int] = {}
    unfinished: dict[int, int] = {}
    for repository_id, status, count in conn.execute(open_runs):
        unfinished[repository_id] = unfinished.get(repository_id, 0) + count
        if status == "in_progress":
            running[repository_id] = count
    names = ("id", "name", "default_branch", "last_success_at", "due_by", "interval_seconds", "last_error")
    watched = sa.select(*(repositories.c[name] for name in names)).where(repositories.c.watched)
    rows = conn.execute(watched.order_by(repositories.c.name))
    return Snapshot(
        end.epoch,
        end.revision,
        end.last_id,
        tuple(_freshness(row, running, unfinished) for row in rows),
    )


def _freshness(row: Any, running: Mapping[int, int], unfinished: Mapping[int, int]) -> RepositoryFreshness:
    values = dict(row._mapping)
    return RepositoryFreshness(**values, running=running.get(row.id, 0), unfinished=unfinished.get(row.id, 0))


@lru_cache(maxsize=512)
def reach(snapshot: Snapshot, names: tuple[str, ...]) -> Reach:
    """Return the freshness of these repositories together; without names, of all."""
    asked = [item for item in snapshot.repositories if not names or item.name in names]
    reads = [(item.due_by or 0, item.last_success_at) for item in asked if item.last_success_at is not None]
    return Reach(tuple(sorted(reads)), len(reads) < len(asked) or not asked, sum(item.running for item in asked))


def as_of(snapshot: Snapshot, names: tuple[str, ...], bucket_seconds: int, now: float) -> AsOf:
    """Return up to when an answer about these repositories is true, and how far behind that is.

    While every one was read within its planned interval it is the start of the time bucket; else the oldest
    `last_success_at` of the overdue ones. One that was never read makes the state "never".
    """
    whole = reach(snapshot, names)
    bucket = bucket_start(now, bucket_seconds)
    if not whole.reads:
        return AsOf(bucket, "never", None)
    read_at = min(read_at for _, read_at in whole.reads)
    overdue = [read_at for due_by, read_at in whole.reads if due_by < now]
    if whole.unread:
        overdue.append(read_at)
    state = "never" if whole.unread else "stale" if overdue else "fresh"
    return AsOf(min([*overdue, bucket]), state, max(0, bucket - read_at))
