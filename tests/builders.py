"""Records that are valid in one line; override what matters."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from pipemon.domain.deployments import Deployment, DeploymentStatus
from pipemon.domain.repositories import Repository
from pipemon.domain.runs import Commit, Job, Run, Step

T0 = 1_760_000_000  # 2025-10-09T08:53:20Z
_ids = count(30_000_000_001)


def iso(moment: int) -> str:
    """Return the moment as GitHub writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_run(**override: Any) -> Run:
    """Return a run of octo/shop that began at T0; completed and successful unless told otherwise."""
    run_id = override.pop("id", None) or next(_ids)
    status = override.get("status", "completed")
    created_at = override.get("created_at", T0)
    defaults = {
        "id": run_id,
        "repository": "octo/shop",
        "run_number": run_id % 1_000_000,
        "run_attempt": 1,
        "workflow_id": 11,
        "status": status,
        "conclusion": "success" if status == "completed" else None,
        "created_at": created_at,
        "started_at": created_at,
        "updated_at": created_at + 90,
        "name": "CI",
        "title": "Add a door",
        "path": ".github/workflows/ci.yml",
        "event": "push",
        "branch": "main",
        "sha": f"{run_id:040x}",
        "head_repository": "octo/shop",
        "actor": "dev-ada",
        "triggering_actor": "dev-ada",
        "commit": Commit(
            "Add a door\n\nIt opens.", "Dev Ada", "dev-ada@example.com", "GitHub", "noreply@example.com", created_at
        ),
        "url": f"https://github.example/octo/shop/actions/runs/{run_id}",
        "api_url": f"https://api.github.example/repos/octo/shop/actions/runs/{run_id}",
    }
    return Run(**{**defaults, **override})


def a_job(run: Run, **override: Any) -> Job:
    """Return a job of that run's attempt, done five to sixty-five seconds after its start."""
    job_id = override.pop("id", None) or next(_ids)
    start = run.started_at or run.created_at
    status = override.get("status", "completed")
    defaults = {
        "id": job_id,
        "run_id": run.id,
        "run_attempt": run.run_attempt,
        "name": "build",
        "status": status,
        "conclusion": "success" if status == "completed" else None,
        "created_at": start,
        "started_at": start + 5,
        "completed_at": start + 65 if status == "completed" else None,
        "runner_name": "GitHub Actions 1",
        "runner_group_name": "GitHub Actions",
        "labels": ("ubuntu-latest",),
        "url": f"https://github.example/octo/shop/actions/runs/{run.id}/job/{job_id}",
        "steps": (a_step(),),
    }
    return Job(**{**defaults, **override})


def a_step(**override: Any) -> Step:
    """Return a successful step."""
    return Step(**{"name": "Test", "number": 1, "status": "completed", "conclusion": "success", **override})


def a_repository(**override: Any) -> Repository:
    """Return octo/shop."""
    return Repository(**{"github_id": 77, "name": "octo/shop", "default_branch": "main", **override})


def a_deployment(*states: str, **override: Any) -> Deployment:
    """Return a deployment of octo/shop's production, created at T0, that came to these states a minute apart."""
    deployment_id = override.pop("id", None) or next(_ids)
    created_at = override.get("created_at", T0)
    statuses = tuple(
        DeploymentStatus(deployment_id * 10 + place, state, created_at + 60 * place)
        for place, state in enumerate(states, start=1)
    )
    defaults = {
        "id": deployment_id,
        "environment": "production",
        "sha": f"{deployment_id:040x}",
        "created_at": created_at,
        "updated_at": created_at + 60 * len(states),
        "ref": "main",
        "task": "deploy",
        "creator": "dev-ada",
        "statuses": statuses,
    }
    return Deployment(**{**defaults, **override})
