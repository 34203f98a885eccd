"""Each environment's history of deployments: GitHub's own, or runs that stand in for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.delivery import Past
from pipemon.domain.deployments import UNDOES
from pipemon.queries.aside import aside
from pipemon.queries.scope import Query, Scope, in_repositories, workflows_like
from pipemon.store.engine import Database
from pipemon.store.schema import runs
from pipemon.store.schema_deployments import deployments

# So many successful deployments before the window are known to it: what a rollback goes back to, what was red before.
LOOK_BACK = 20
READABLE = ("ahead", "diverged", "behind", "identical")
WAITING = frozenset({"queued", "pending", "waiting"})


@dataclass(frozen=True, slots=True)
class Line:
    """One environment; where the source is "workflow" it is one that deploys, and GitHub knows of no deployments."""

    repository_id: int
    environment: str
    source: str
    history: tuple[Past, ...]


def lines(db: Database, scope: Scope, from_at: int, to_at: int) -> list[Line]:
    """Return the environments of the scope's repositories, with what finished before `to_at`.

    Of what finished before `from_at`, only the newest is there: LOOK_BACK successes of each environment.
    """
    return aside(_lines, db.heavy(_history(scope, from_at, to_at)))


def _history(scope: Scope, from_at: int, to_at: int) -> Query:
    table, before = deployments.c, deployments.alias("before")
    own = in_repositories(table.repository_id, scope.repositories)
    known = sa.select(table.repository_id, table.environment).distinct().where(own).subquery("known")
    one = deployments.alias("one")
    since = (
        sa.select(one.c.finished_at)
        .where(one.c.repository_id == known.c.repository_id, one.c.environment == known.c.environment)
        .where(one.c.deployed_at.is_not(None), one.c.finished_at < from_at)
        .order_by(one.c.finished_at.desc(), one.c.id.desc())
        .limit(1)
        .offset(LOOK_BACK - 1)
        .correlate(known)
        .scalar_subquery()
    )
    # Worked out once for each environment, not for each deployment.
    begun = sa.select(known, sa.func.coalesce(since, 0).label("since")).cte("begun").prefix_with("MATERIALIZED")
    same = (table.repository_id == begun.c.repository_id, table.environment == begun.c.environment)
    kind = sa.func.coalesce(table.overruled_kind, table.kind)
    undone = sa.func.coalesce(table.blamed_id, table.previous_id)
    message = sa.select(runs.c.commit_message).where(runs.c.sha == table.sha).limit(1).scalar_subquery()
    excluded = sa.select(runs.c.id).where(runs.c.workflow_id.in_(workflows_like(scope.exclude_workflows)))
    query: Query = (
        sa.select(table.repository_id, table.environment, table.source, table.id, table.sha, kind)
        .add_columns(table.overruled_kind, table.state, table.deployed_at, table.failed_at, table.statuses, undone)
        .add_columns(sa.case((table.compared_with == before.c.sha, table.comparison)), table.commits, message)
        .join_from(begun, deployments, sa.and_(*same))
        .outerjoin(before, before.c.id == table.previous_id)
        .where(table.finished_at >= begun.c.since, table.finished_at < to_at, kind.is_not(None))
        .order_by(table.repository_id, table.environment, table.finished_at, table.id)
    )
    if scope.exclude_workflows:
        query = query.where(sa.or_(table.source != "workflow", table.id.not_in(excluded)))
    return query


def _lines(rows: Sequence[tuple[Any, ...]]) -> list[Line]:
    found: dict[tuple[int, str, str], list[Past]] = {}
    for row in rows:
        found.setdefault(row[:3], []).append(_past(row[3:]))
    return [Line(*key, tuple(history)) for key, history in found.items()]


def _past(row: tuple[Any, ...]) -> Past:
    key, sha, kind, overruled, state, deployed_at, failed_at, statuses, undone, comparison, commits, message = row
    return Past(
        key, sha, kind, state, deployed_at, failed_at,
        started=deployed_at is not None or _started([one[1] for one in json.loads(statuses)]),
        overruled=overruled is not None,
        undoes=undone if kind in UNDOES else None,
        commits=(commits or "[]") if comparison in READABLE else None,
        message=message or "",
        unread=comparison is None,
    )  # fmt: skip


def _started(states: Sequence[str]) -> bool:
    """Whether a deployment began: one that waited, and then ended without having been in progress, has not.

    Who tells GitHub of nothing but the end is believed to have begun.
    """
    return "in_progress" in states or not WAITING.intersection(states)
