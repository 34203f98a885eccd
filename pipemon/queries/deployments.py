"""The newest deployments: GitHub's own where a repository has any, else successful runs of what deploys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

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
from pipemon.store.schema_deployments import deployments

DEFAULT_BRANCH = "@default"


@dataclass(frozen=True, slots=True)
class DeploymentRule:
    """Which runs deploy: globs of workflow names (or file names) and of branches; `@default`: the default branch."""

    workflows: Sequence[str]
    branches: Sequence[str] = field(default=(DEFAULT_BRANCH,))


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment. Where it is a run, `id` is the run's, and `environment` is None: a run does not tell it."""

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
    own = deployments.c.repository_id == repositories.c.id
    used = sa.exists().where(own, deployments.c.source == "github", deployments.c.deployed_at.is_not(None))
    with db.read() as conn:
        using = set(conn.execute(sa.select(repositories.c.id).where(used)).scalars()) & scope.repositories.keys()
    others = {key: name for key, name in scope.repositories.items() if key not in using}
    found = [*_list_own(db, sorted(using), limit)] if using else []
    if others:
        found += _list_runs(db, replace(scope, repositories=others), rule, limit)
    found.sort(key=lambda one: (one.deployed_at or 0, one.id), reverse=True)
    return tuple(found[:limit])


def _list_own(db: Database, repository_ids: Sequence[int], limit: int) -> Iterator[Deployment]:
    """Yield the newest successful GitHub deployments of these repositories."""
    table = deployments.c
    query = (
        sa.select(table.id, table.sha, table.creator, table.deployed_at, table.created_at, table.url, table.environment)
        .where(table.repository_id.in_(repository_ids), table.deployed_at.is_not(None))
        .order_by(table.deployed_at.desc(), table.id.desc())
        .limit(limit)
    )
    with db.read() as conn:
        rows = conn.execute(query).all()
        shas = [row.sha for row in rows]
        told = conn.execute(sa.select(runs.c.sha, runs.c.commit_message, runs.c.author).where(runs.c.sha.in_(shas)))
        commits = {row[0]: (row[1], row[2]) for row in told}
    for row in rows:
        message, author = commits.get(row.sha, (None, None))
        seconds = max(0, row.deployed_at - row.created_at)
        yield Deployment(
            row.id,
            row.sha,
            message,
            author or row.creator,
            row.deployed_at,
            "success",
            seconds,
            row.url,
            row.environment,
        )


def _list_runs(db: Database, scope: Scope, rule: DeploymentRule, limit: int) -> Iterator[Deployment]:
    """Yield the newest runs of the scope that deploy."""
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
    return (Deployment(*row) for row in db.heavy(query))


def _on_branch(rule: DeploymentRule) -> Condition:
    is_default = runs.c.branch == repositories.c.default_branch
    return sa.or_(*(is_default if glob == DEFAULT_BRANCH else like(runs.c.branch, glob) for glob in rule.branches))
