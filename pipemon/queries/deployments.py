"""Deployments: successful runs of the workflows that deploy, on the branches that are deployed from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import ON_OWN_BRANCH, SUCCEEDED, Condition, Scope, like, where, workflows_like
from pipemon.store.engine import Database
from pipemon.store.schema import repositories, runs

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
    columns = (
        runs.c.id,
        runs.c.sha,
        runs.c.commit_message,
        AUTHOR,
        runs.c.completed_at,
        runs.c.conclusion,
        runs.c.duration_seconds,
        runs.c.url,
    )
    deployed = (runs.c.workflow_id.in_(workflows_like(rule.workflows)), ON_OWN_BRANCH, _on_branch(rule), SUCCEEDED)
    query = sa.select(*columns).join_from(runs, repositories).where(*where(scope), *deployed)
    newest = query.order_by(runs.c.completed_at.desc().nulls_last(), runs.c.id.desc()).limit(limit)
    return tuple(Deployment(*row) for row in db.heavy(newest))


def _on_branch(rule: DeploymentRule) -> Condition:
    is_default = runs.c.branch == repositories.c.default_branch
    return sa.or_(*(is_default if glob == DEFAULT_BRANCH else like(runs.c.branch, glob) for glob in rule.branches))
