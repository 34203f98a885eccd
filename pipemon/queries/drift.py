"""How far what is live lags behind the default branch, and whose work waits to be deployed.

Counted are the head commits of the builds on the default branch: a push of several commits is one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

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
    numbers = {name: number for number, name in scope.repositories.items()}
    live = live_rows(db, scope)
    behind = _drifts(db, [(numbers[one.repository], one.sha) for one in live], as_of.timestamp)
    found = [
        Live(**{name: getattr(one, name) for name in Shown.__slots__}, behind=drift)
        for one, drift in zip(live, behind, strict=True)
    ]
    return Environments(tuple(found), as_of)


def _drifts(db: Database, live: Sequence[tuple[int, str]], now: int) -> list[Drift | None]:
    """Return how far each of these commits, with its repository, lags behind."""
    number, since = sa.bindparam("repository", 0, sa.BigInteger), sa.bindparam("since", 0, sa.BigInteger)
    sha = sa.bindparam("live", "", sa.Text)
    on_default = (
        runs.c.branch == repositories.c.default_branch,
        runs.c.deleted_at.is_(None),
        ON_OWN_BRANCH,
    )
    begun = sa.select(sa.func.min(runs.c.created_at)).join_from(runs, repositories).where(*on_default)
    # The sum keeps the planner on the index by commit: a repository has many runs.
    begun = begun.where(runs.c.sha == sha, runs.c.repository_id + 0 == number)
    asked = [{"repository": repository_id, "live": head} for repository_id, head in live]
    starts = [rows[0][0] for rows in db.heavy_each(begun, asked)]
    later = (
        sa.select(runs.c.sha, runs.c.created_at, AUTHOR.label("author"))
        .join_from(runs, repositories)
        .where(*on_default, runs.c.repository_id == number, runs.c.created_at > since, runs.c.sha != sha)
        .order_by(runs.c.created_at, runs.c.id)
        .limit(10 * MOST_COMMITS)
        .subquery("later")
    )
    first = sa.func.min(later.c.created_at)
    pushes = sa.select(later.c.sha, first, sa.func.min(later.c.author)).group_by(later.c.sha)
    pushes = pushes.order_by(first, later.c.sha).limit(MOST_COMMITS)
    known = [one | {"since": start} for one, start in zip(asked, starts, strict=True) if start is not None]
    told = iter(db.heavy_each(pushes, known))
    return [None if start is None else _sum_up(next(told), now) for start in starts]


def _sum_up(rows: Sequence[tuple[str, int, str | None]], now: int) -> Drift:
    if not rows:
        return Drift(0, 0, (), None, None)
    authors = sorted({author for _, _, author in rows if author})
    waited = max(0, now - rows[0][1])
    return Drift(len(rows), waited, tuple(authors[:MOST_AUTHORS]), rows[0][0], rows[-1][0])
