"""Each environment's history of deployments: GitHub's own where a repository has any, else runs of what deploys."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.delivery import Past
from pipemon.domain.deployments import UNDOES, Commit, Step, verdicts
from pipemon.queries.aside import aside
from pipemon.queries.deployments import DeploymentRule, on_branch
from pipemon.queries.scope import IS_DECISIVE, ON_OWN_BRANCH, Query, Scope, in_repositories, where, workflows_like
from pipemon.store.engine import Database
from pipemon.store.schema import repositories, runs, workflows
from pipemon.store.schema_deployments import deployments

# So many successful deployments before the window are known to it: what a rollback goes back to, what was red before.
LOOK_BACK = 100
READABLE = ("ahead", "diverged", "behind", "identical")
WAITING = frozenset({"queued", "pending", "waiting"})

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Line:
    """One environment, or one workflow that deploys where GitHub is told of no deployments."""

    repository_id: int
    environment: str
    source: str  # deployments, workflow_runs
    history: tuple[Past, ...]


def lines(db: Database, scope: Scope, rule: DeploymentRule, from_at: int, to_at: int) -> list[Line]:
    """Return the lines of the scope's repositories, with what finished before `to_at`, by repository and name.

    Of what finished before `from_at`, only the newest is there: LOOK_BACK successes of each line.
    """
    told = db.heavy(_of_deployments(scope, from_at, to_at))
    using = {row[0] for row in db.heavy(_using(scope))}
    others = {key: name for key, name in scope.repositories.items() if key not in using}
    ran: Rows = ()
    if others:
        rest = replace(scope, repositories=others, created_from=None, created_to=None)
        ran = db.heavy(_of_runs(rest, rule, from_at, to_at))
    return aside(_lines, told, ran)


def _using(scope: Scope) -> Query:
    """Select the repositories that tell GitHub of their deployments."""
    own = in_repositories(deployments.c.repository_id, scope.repositories)
    return sa.select(deployments.c.repository_id).distinct().where(own, deployments.c.finished_at.is_not(None))


def _of_deployments(scope: Scope, from_at: int, to_at: int) -> Query:
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
    begun = sa.select(known, sa.func.coalesce(since, 0).label("since")).subquery("begun")
    kind = sa.func.coalesce(table.overruled_kind, table.kind)
    undone = sa.func.coalesce(table.blamed_id, table.previous_id)
    query: Query = (
        sa.select(table.repository_id, table.environment, table.id, table.sha, kind, table.overruled_kind)
        .add_columns(table.state, table.deployed_at, table.failed_at, table.statuses, undone)
        .add_columns(sa.case((table.compared_with == before.c.sha, table.comparison)), table.commits)
        .join_from(
            begun,
            deployments,
            sa.and_(table.repository_id == begun.c.repository_id, table.environment == begun.c.environment),
        )
        .outerjoin(before, before.c.id == table.previous_id)
        .where(table.finished_at >= begun.c.since, table.finished_at < to_at, kind.is_not(None))
        .order_by(table.repository_id, table.environment, table.finished_at, table.id)
    )
    return query


def _of_runs(scope: Scope, rule: DeploymentRule, from_at: int, to_at: int) -> Query:
    one = runs.alias("one")
    since = (
        sa.select(one.c.completed_at)
        .where(one.c.workflow_id == workflows.c.id, one.c.conclusion == "success", one.c.completed_at < from_at)
        .order_by(one.c.completed_at.desc(), one.c.id.desc())
        .limit(1)
        .offset(LOOK_BACK - 1)
        .correlate(workflows)
        .scalar_subquery()
    )
    query: Query = (
        sa.select(runs.c.repository_id, workflows.c.id, workflows.c.name, runs.c.id, runs.c.sha, runs.c.conclusion)
        .add_columns(runs.c.completed_at, runs.c.commit_message)
        .select_from(workflows.join(repositories).join(runs, runs.c.workflow_id == workflows.c.id))
        .where(workflows.c.id.in_(workflows_like(rule.workflows)), ON_OWN_BRANCH, on_branch(rule), IS_DECISIVE)
        .where(runs.c.sha.is_not(None), runs.c.completed_at >= sa.func.coalesce(since, 0), runs.c.completed_at < to_at)
        .where(*where(scope))
        .order_by(runs.c.repository_id, workflows.c.name, workflows.c.id, runs.c.completed_at, runs.c.id)
    )
    return query


def _lines(told: Rows, ran: Rows) -> list[Line]:
    found: dict[tuple[int, str], list[Past]] = {}
    for row in told:
        found.setdefault((row[0], row[1]), []).append(_past(row[2:]))
    lines = [Line(key, name, "deployments", tuple(history)) for (key, name), history in found.items()]
    by_workflow: dict[tuple[int, int, str], list[tuple[Any, ...]]] = {}
    for row in ran:
        by_workflow.setdefault((row[0], row[1], row[2]), []).append(row[3:])
    lines += [Line(key, name, "workflow_runs", _of_workflow(rows)) for (key, _, name), rows in by_workflow.items()]
    return sorted(lines, key=lambda line: (line.repository_id, line.environment))


def _past(row: tuple[Any, ...]) -> Past:
    key, sha, kind, overruled, state, deployed_at, failed_at, statuses, undone, comparison, commits = row
    return Past(
        key, sha, kind, state, deployed_at, failed_at,
        started=deployed_at is not None or _started([one[1] for one in json.loads(statuses)]),
        overruled=overruled is not None,
        undoes=undone if kind in UNDOES else None,
        commits=tuple(Commit(*one) for one in json.loads(commits or "[]")) if comparison in READABLE else None,
    )  # fmt: skip


def _started(states: Sequence[str]) -> bool:
    """Whether a deployment began: one that waited, and then ended without having been in progress, has not.

    Who tells GitHub of nothing but the end is believed to have begun.
    """
    return "in_progress" in states or not WAITING.intersection(states)


def _of_workflow(rows: Rows) -> tuple[Past, ...]:
    """Return a deploying workflow's runs as its deployments, each judged by the commits alone."""
    steps = [Step(key, sha, at, end == "success", message or "") for key, sha, end, at, message in rows]
    found: Mapping[int, Any] = verdicts(steps)
    return tuple(
        Past(
            step.id, step.sha, found[step.id].kind, "success" if step.succeeded else "failure",
            deployed_at=step.at if step.succeeded else None, failed_at=None if step.succeeded else step.at,
            undoes=found[step.id].blamed, message=step.message,
        )
        for step in steps
    )  # fmt: skip
