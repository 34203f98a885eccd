"""Deployments: successful runs of the workflows that deploy, on the branches that are deployed from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pipemon.queries.scope import (
    ON_OWN_BRANCH,
    SUCCEEDED,
    Condition,
    Scope,
    in_repositories,
    like,
    where,
    workflows_like,
)
from pipemon.store.engine import Database
from pipemon.store.schema import repositories, runs, workflows

DEFAULT_BRANCH = "@default"


@dataclass(frozen=True, slots=True)
class DeploymentRule:
    """Which runs deploy: globs of workflow names (or file names) and of branches; `@default`: the default branch."""

    workflows: Sequence[str]
    branches: Sequence[str] = field(default=(DEFAULT_BRANCH,))


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment. `id` is the run's; `environment` is None: a run does not tell it."""

    id: int
    sha: str | None
    commit_message: str | None
    author: str | None
    deployed_at: int | None
    status: str
    duration_seconds: int | None
    url: str | None
    environment: str | None = None


def list_recent(db: Database, scope: Scope, rule: DeploymentRule, limit: int) -> tuple[Deployment, ...]:
    """Return the newest deployments of the scope, newest first."""
    # Per workflow the newest, then the newest of those: each is a walk along one index, not a sort of all deployments.
    one = runs.alias("newest")
    newest = (
        sa.select(runs.c.id)
        .where(runs.c.workflow_id == workflows.c.id, *where(scope))
        .where(ON_OWN_BRANCH, _on_branch(rule), SUCCEEDED, runs.c.completed_at.is_not(None))
        .order_by(runs.c.completed_at.desc(), runs.c.id.desc())
        .limit(limit)
        .correlate(workflows, repositories)
    )
    columns = (one.c.id, one.c.sha, one.c.commit_message, sa.func.coalesce(one.c.author, one.c.actor))
    times = (one.c.completed_at, one.c.conclusion, one.c.duration_seconds, one.c.url)
    query = (
        sa.select(*columns, *times)
        .select_from(workflows.join(repositories).join(one, one.c.id.in_(newest)))
        .where(
            workflows.c.id.in_(workflows_like(rule.workflows)), in_repositories(repositories.c.id, scope.repositories)
        )
        .order_by(one.c.completed_at.desc(), one.c.id.desc())
        .limit(limit)
    )
    return tuple(Deployment(*row) for row in db.heavy(query))


def _on_branch(rule: DeploymentRule) -> Condition:
    is_default = runs.c.branch == repositories.c.default_branch
    return sa.or_(*(is_default if glob == DEFAULT_BRANCH else like(runs.c.branch, glob) for glob in rule.branches))
