"""How far what is live lags behind the default branch, and whose work waits to be deployed.

Counted are the head commits of the builds on the default branch: a push of several commits is one of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.queries.freshness import AsOf
from pipemon.queries.rollouts import Shown, live_rows
from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import ON_OWN_BRANCH, Scope
from pipemon.store.engine import Database
from pipemon.store.schema import repositories, runs

MOST_COMMITS = 1000
MOST_AUTHORS = 20


@dataclass(frozen=True, slots=True)
class Drift:
    """What waits: pushes to the default branch since what is live. `seconds` is how long the oldest has waited.

    `authors` are theirs, the first few in the order of the alphabet.
    """

    commits: int
    seconds: int
    authors: tuple[str, ...]
    oldest_sha: str | None
    newest_sha: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Live(Shown):
    """What is live in an environment. `behind` is None where its commit has no build on the default branch."""

    behind: Drift | None


@dataclass(frozen=True, slots=True)
class Environments:
    """What is live in each environment."""

    environments: tuple[Live, ...]
    as_of: AsOf


def list_environments(db: Database, scope: Scope, as_of: AsOf) -> Environments:
    """Return what is live in each environment, and what waits to be."""
    with db.read() as conn:
        numbers = {name: number for number, name in scope.repositories.items()}
        found = []
        for one in live_rows(conn, scope):
            same = {name: getattr(one, name) for name in Shown.__slots__}
            found.append(Live(**same, behind=_drift(conn, numbers[one.repository], one, as_of.timestamp)))
    return Environments(tuple(found), as_of)


def _drift(conn: Connection, repository_id: int, live: Shown, now: int) -> Drift | None:
    on_default = (
        runs.c.repository_id == repository_id,
        runs.c.branch == repositories.c.default_branch,
        runs.c.deleted_at.is_(None),
        ON_OWN_BRANCH,
    )
    begun = sa.select(sa.func.min(runs.c.created_at)).join_from(runs, repositories).where(*on_default)
    since = conn.execute(begun.where(runs.c.sha == live.sha)).scalar()
    if since is None:
        return None
    query = (
        sa.select(runs.c.sha, runs.c.created_at, AUTHOR)
        .join_from(runs, repositories)
        .where(*on_default, runs.c.created_at > since, runs.c.sha != live.sha)
        .order_by(runs.c.created_at, runs.c.id)
        .limit(10 * MOST_COMMITS)
    )
    return _sum_up(conn.execute(query), now)


def _sum_up(rows: Iterable[tuple[str | None, int, str | None]], now: int) -> Drift:
    first: dict[str, int] = {}
    authors: set[str] = set()
    for sha, created_at, author in rows:
        if sha is not None and sha not in first and len(first) < MOST_COMMITS:
            first[sha] = created_at
            authors |= {author} if author else set()
    if not first:
        return Drift(0, 0, (), None, None)
    shas = list(first)
    waited = max(0, now - min(first.values()))
    return Drift(len(first), waited, tuple(sorted(authors)[:MOST_AUTHORS]), shas[0], shas[-1])
