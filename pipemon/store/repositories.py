"""The watched repositories: who they are on GitHub, and how far the reading of them has come."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.repositories import Repository
from pipemon.store.schema import repositories

# A repository that was not read for this long, and for two of its intervals, had an outage.
OUTAGE_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched repository as it is stored. `name` is the configured `owner/name`, moments are Unix seconds."""

    id: int
    name: str
    github_id: int | None
    default_branch: str | None
    live_since: int | None
    last_success_at: int | None
    due_by: int | None
    interval_seconds: int | None
    swept_at: int | None


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """What one read of a repository's newest runs came to: its moment, or the error that kept it from being true."""

    repository_id: int
    at: int
    interval_seconds: int
    due_by: int
    error: str | None = None


_COLUMNS = [repositories.c[name] for name in Watched.__dataclass_fields__]


def list_watched(conn: Connection) -> list[Watched]:
    """Return the watched repositories by name."""
    query = sa.select(*_COLUMNS).where(repositories.c.watched).order_by(repositories.c.name)
    return [Watched(*row) for row in conn.execute(query)]


def find_watched(conn: Connection, github_id: int | None, name: str | None) -> int | None:
    """Return our id of the watched repository that GitHub calls so; by name only where its own id was never read."""
    table = repositories.c
    same_name = sa.func.lower(table.name) == (name or "").lower()
    same = sa.or_(table.github_id == github_id, sa.and_(table.github_id.is_(None), same_name))
    found: int | None = conn.execute(sa.select(table.id).where(table.watched, same)).scalars().first()
    return found


def list_errors(conn: Connection) -> list[tuple[str, str | None]]:
    """Return the watched repositories with why each could not be read last, None where it could."""
    query = sa.select(repositories.c.name, repositories.c.last_error).where(repositories.c.watched)
    return [(name, error) for name, error in conn.execute(query.order_by(repositories.c.name))]


def watch(conn: Connection, names: Iterable[str]) -> None:
    """Make exactly these repositories the watched ones; the data of the others stays, unseen."""
    wanted = list(dict.fromkeys(names))
    known = dict(conn.execute(sa.select(repositories.c.name, repositories.c.watched)).all())
    for name in wanted:
        if name not in known:
            conn.execute(sa.insert(repositories).values(name=name, watched=True))
        elif not known[name]:
            # Unwatched for a while: what happened meanwhile is history.
            values = dict.fromkeys(("live_since", "last_success_at", "due_by", "away_since")) | {"watched": True}
            conn.execute(sa.update(repositories).where(repositories.c.name == name).values(values))
    for name in known.keys() - set(wanted):
        conn.execute(sa.update(repositories).where(repositories.c.name == name).values(watched=False))


def identify(conn: Connection, repository_id: int, found: Repository) -> None:
    """Store what GitHub says of the repository; its configured name stays its name here."""
    values = {"github_id": found.github_id, "current_name": found.name, "default_branch": found.default_branch}
    conn.execute(sa.update(repositories).where(repositories.c.id == repository_id).values(values))


def record_success(conn: Connection, outcome: PollOutcome, live_since: int) -> None:
    """Record that everything up to `outcome.at` was read, and until when that counts as fresh."""
    table = repositories.c
    values = {
        "last_success_at": outcome.at,
        "first_success_at": sa.func.coalesce(table.first_success_at, outcome.at),
        "live_since": live_since,
        # A later start of what is news: until then nobody looked.
        "away_since": sa.case(
            (table.live_since < live_since, sa.func.coalesce(table.away_since, table.last_success_at)),
            else_=table.away_since,
        ),
        "due_by": outcome.due_by,
        # After an outage: what began and ended meanwhile only a sweep finds.
        "swept_at": sa.case((_was_away(outcome), None), else_=table.swept_at),
        "interval_seconds": outcome.interval_seconds,
        "last_error": None,
        "last_error_at": None,
    }
    conn.execute(sa.update(repositories).where(table.id == outcome.repository_id).values(values))


def _was_away(outcome: PollOutcome) -> sa.ColumnElement[bool]:
    table = repositories.c
    usual = outcome.at - 2 * sa.func.coalesce(table.interval_seconds, 0)
    return sa.and_(table.last_success_at < outcome.at - OUTAGE_SECONDS, table.last_success_at < usual)


def record_failure(conn: Connection, repository_id: int, error: str, at: int) -> None:
    """Record why the repository could not be read; its moment of truth stays where it was."""
    values = {"last_error": error[:500], "last_error_at": at}
    conn.execute(sa.update(repositories).where(repositories.c.id == repository_id).values(values))


def mark_swept(conn: Connection, repository_id: int, at: int) -> None:
    """Record the end of a sweep over the last weeks."""
    conn.execute(sa.update(repositories).where(repositories.c.id == repository_id).values(swept_at=at))
