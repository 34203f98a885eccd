"""Runs that deploy, as deployments: for repositories of which GitHub knows no deployments."""

from collections.abc import Callable, Collection
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.deployments import Deploying, Deployment, DeploymentStatus
from pipemon.domain.runs import FAILED
from pipemon.store import sheets
from pipemon.store.schema import attempts, repositories, runs, workflows
from pipemon.store.schema_deployments import deployments

STATES = {"success": "success", **dict.fromkeys(FAILED, "failure")}


def has_own(conn: Connection, repository_id: int) -> bool:
    """Whether GitHub knows of deployments of this repository."""
    query = sa.select(deployments.c.id).where(
        deployments.c.repository_id == repository_id, deployments.c.source == "github"
    )
    return conn.execute(query.limit(1)).one_or_none() is not None


def count(conn: Connection, repository_id: int) -> int:
    """Return how many runs stand in."""
    query = sa.select(sa.func.count()).select_from(deployments)
    return conn.execute(query.where(*_standing_in(repository_id))).scalar_one()


def drop(conn: Connection, repository_id: int) -> None:
    """Forget the runs that stand in: the repository has deployments of its own now."""
    conn.execute(sa.delete(deployments).where(*_standing_in(repository_id)))
    sheets.drop_stand_ins(conn, repository_id)


def _standing_in(repository_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return deployments.c.repository_id == repository_id, deployments.c.source == "workflow"


def list_missing(conn: Connection, repository_id: int, deploying: Deploying, limit: int) -> list[Deployment]:
    """Return the completed runs that deploy and do not stand in yet as they are, the newest first."""
    named = sa.select(workflows.c.id, workflows.c.name, workflows.c.path).where(
        workflows.c.repository_id == repository_id
    )
    names = {row.id: row.name for row in conn.execute(named) if deploying.has_workflow(row.name, row.path)}
    found = [row for row in conn.execute(_candidates(repository_id, names)) if _on_branch(row, deploying)][:limit]
    tries = _tries(conn, [row.id for row in found])
    return [_deployment(row, names[row.workflow_id], tries(row.id)) for row in found]


def _candidates(repository_id: int, workflow_ids: Collection[int]) -> sa.Select[Any]:
    columns = (
        "id",
        "workflow_id",
        "branch",
        "sha",
        "event",
        "head_repository",
        "actor",
        "created_at",
        "updated_at",
        "url",
    )
    known = sa.func.coalesce(deployments.c.updated_at, -1)
    own = (sa.func.lower(repositories.c.name), sa.func.lower(repositories.c.current_name))
    return (
        sa.select(*(runs.c[name] for name in columns), repositories.c.default_branch)
        .join_from(runs, repositories)
        .outerjoin(deployments, deployments.c.id == runs.c.id)
        .where(
            runs.c.repository_id == repository_id,
            runs.c.workflow_id.in_(sorted(workflow_ids)),
            runs.c.status == "completed",
            runs.c.sha.is_not(None),
            runs.c.deleted_at.is_(None),
            sa.not_(sa.func.coalesce(runs.c.event, "").startswith("pull_request")),
            sa.func.lower(runs.c.head_repository).in_(own),
            known < runs.c.updated_at,
        )
        .order_by(runs.c.created_at.desc(), runs.c.id.desc())
    )


def _on_branch(row: Any, deploying: Deploying) -> bool:
    return deploying.has_branch(row.branch, row.default_branch)


def _tries(conn: Connection, run_ids: Collection[int]) -> Callable[[int], list[Any]]:
    """Return what gives the completed attempts of a run, in their order."""
    columns = (attempts.c.run_id, attempts.c.run_attempt, attempts.c.conclusion, attempts.c.completed_at)
    query = sa.select(*columns, attempts.c.updated_at).where(
        attempts.c.run_id.in_(run_ids), attempts.c.status == "completed"
    )
    rows = conn.execute(query.order_by(attempts.c.run_id, attempts.c.run_attempt)).all()
    by_run = {run_id: list(found) for run_id, found in groupby(rows, key=lambda row: row.run_id)}
    return lambda run_id: by_run.get(run_id, [])


def _deployment(row: Any, workflow: str, tries: list[Any]) -> Deployment:
    statuses = tuple(
        DeploymentStatus(
            one.run_attempt, STATES.get(one.conclusion, "inactive"), one.completed_at or one.updated_at, row.url
        )
        for one in tries
    )
    return Deployment(
        id=row.id, environment=workflow, sha=row.sha, created_at=row.created_at, updated_at=row.updated_at,
        ref=row.branch, task="workflow", creator=row.actor, source="workflow", statuses=statuses,
    )  # fmt: skip
