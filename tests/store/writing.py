"""What the tests of the store write with: events, one transaction each."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from pipemon.domain.events import Event
from pipemon.store import events
from pipemon.store.engine import Database
from pipemon.store.schema import coverage, repositories
from pipemon.store.schema import events as events_table

ROOT = Path(__file__).parents[2]
# What has no meaning on the other engine is not skipped there, it does not exist there.
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def an_event(key: str) -> Event:
    return Event("build_queued", "builds", "octo/shop", key, 0)


def append(db: Database, key: str) -> None:
    """Append one event in a transaction of its own."""

    def work(conn: sa.Connection) -> None:
        events.lock(conn)
        events.append(conn, [an_event(key)], 0)

    db.transact(work)


def ids(db: Database) -> list[int]:
    """Return the ids of all events."""
    with db.read() as conn:
        return list(conn.execute(sa.select(events_table.c.id).order_by(events_table.c.id)).scalars())


def keys(db: Database) -> set[str]:
    """Return the keys of all events."""
    with db.read() as conn:
        return set(conn.execute(sa.select(events_table.c.dedupe_key)).scalars())


def url_of(db: Database) -> str:
    """Return the address under which another process reaches the database."""
    return db.url.render_as_string(hide_password=False)


def store_a_repository_with_coverage(db: Database) -> None:
    """Store rows of which one refers to the other."""

    def work(conn: sa.Connection) -> None:
        conn.execute(sa.insert(repositories).values(id=1, name="octo/shop", watched=True))
        conn.execute(sa.insert(coverage).values(repository_id=1, from_at=0, to_at=9))

    db.transact(work)
