"""Each public field of each endpoint and its type, on a filled and on an empty database."""

from typing import Any

import pytest

from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from tests.api.analytics_shapes import ANALYTICS, SEEN
from tests.api.conftest import Api
from tests.api.shapes import check
from tests.builders import a_deployment
from tests.rows import T0, a_failure, a_job, a_repository, a_run, a_workflow

TEXT = (str, None)
WHOLE = (int, None)
NUMBER = (float, None)
TIME = ("time", None)
AS_OF = {"timestamp": "time", "data_state": str}

CURRENT = {
    "id": int, "name": TEXT, "status": str, "branch": TEXT, "commit_sha": TEXT, "started_at": "time", "url": TEXT,
    "progress_percent": NUMBER, "eta": TIME, "jobs_completed": WHOLE, "jobs_total": WHOLE,
    "repository": str, "duration_seconds": int, "eta_p90": TIME, "overdue": (bool, None),
}  # fmt: skip
OVERVIEW = AS_OF | {
    "status": str, "success_rate": float, "failure_rate": float, "total_runs_analyzed": int,
    "queue_status": {"queued_count": int, "running_count": int, "estimated_wait_time": NUMBER, "waiting_count": int},
    "recent_deployments": [
        {
            "id": int, "commit_sha": TEXT, "commit_message": TEXT, "author": TEXT, "deployed_at": TIME, "status": str,
            "duration_seconds": WHOLE, "environment": TEXT, "url": TEXT,
        }
    ],
    "current_build": (CURRENT, None), "current_builds": [CURRENT], "history_complete": bool,
    "success_count": int, "failure_count": int, "n": int,
}  # fmt: skip
STATUS = AS_OF | {
    "overall_status": str, "running_jobs": int, "queued_jobs": int, "waiting_jobs": int,
    "last_run_status": ({"conclusion": TEXT, "completed_at": TIME, "duration_seconds": WHOLE}, None),
    "active_branches": [str],
    "sync": {
        "last_success_at": TIME, "lag_seconds": WHOLE,
        "rate_limit": {"limit": WHOLE, "remaining": WHOLE, "reset_at": TIME},
        "repositories": [{"name": str, "interval_seconds": WHOLE, "last_success_at": TIME, "data_state": str}],
    },
}  # fmt: skip
METRICS = AS_OF | {
    "total_runs": int, "success_count": int, "failure_count": int, "success_rate": float, "n": int,
    "average_duration_minutes": float, "fastest_build_minutes": float, "slowest_build_minutes": float,
    "builds_per_day": float, "history_complete": bool,
    "median_duration_minutes": NUMBER, "p95_duration_minutes": NUMBER,
}  # fmt: skip
ACTIVITY = {
    "id": int, "name": TEXT, "status": str, "conclusion": TEXT, "branch": TEXT, "commit_sha": TEXT,
    "commit_message": TEXT, "author": TEXT, "started_at": "time", "updated_at": "time", "duration_seconds": WHOLE,
    "url": TEXT, "repository": str,
}  # fmt: skip
RECENT = AS_OF | {"activities": [ACTIVITY], "total_count": int}
BUILDS = AS_OF | {
    "builds": [
        ACTIVITY | {"run_number": int, "event": TEXT, "actor": TEXT, "run_attempt": int, "queue_seconds": WHOLE}
    ],
    "page": int, "per_page": int, "total_count": int, "has_next": bool,
}  # fmt: skip
STEP = {"name": str, "status": TEXT, "conclusion": TEXT, "number": int, "started_at": TIME, "completed_at": TIME}
FAILURE = {
    "state": str, "step": TEXT, "step_number": WHOLE, "signature": TEXT, "title": TEXT, "platform": bool,
    "seen": (SEEN, None),
}  # fmt: skip
JOB = {
    "id": int, "name": str, "status": str, "conclusion": TEXT, "started_at": TIME, "completed_at": TIME,
    "runner_name": TEXT, "runner_group_name": TEXT, "steps": [STEP], "url": TEXT, "labels": [str],
    "queue_seconds": WHOLE, "failure": (FAILURE, None),
}  # fmt: skip
BUILD = {
    "id": int, "run_number": int, "name": TEXT, "status": str, "conclusion": TEXT, "branch": TEXT, "event": TEXT,
    "workflow_id": int, "jobs": [JOB],
    "commit": {
        "sha": TEXT, "message": TEXT, "author_name": TEXT, "author_email": TEXT, "committer_name": TEXT,
        "committer_email": TEXT, "timestamp": TIME, "url": TEXT,
    },
    "started_at": "time", "updated_at": "time", "duration_seconds": WHOLE, "duration_source": TEXT,
    "url": TEXT, "cancel_url": TEXT,
    "rerun_url": TEXT, "logs_url": str, "run_attempt": int,
    "attempts": [
        {
            "run_attempt": int, "status": str, "conclusion": TEXT, "started_at": TIME,
            "duration_seconds": WHOLE, "duration_source": TEXT,
        }
    ],
    "pull_requests": [int], "critical_path": [str],
    "repository": str, "actor": TEXT, "author": TEXT, "queue_seconds": WHOLE, "created_at": "time",
}  # fmt: skip
EVENTS = AS_OF | {
    "events": [
        {
            "id": int, "type": str, "topic": str, "repository": str, "occurred_at": "time", "recorded_at": "time",
            "historic": bool, "data": dict,
        }
    ],
    "first_event_id": int, "last_event_id": int, "has_more": bool, "epoch": str,
}  # fmt: skip
ROOT = {"message": str, "version": str, "status": str, "docs": str, "dashboard": TEXT}
HEALTH = {
    "status": str, "service": str, "timestamp": "time", "version": str, "data_state": str,
    "checks": {"database": str, "github": str, "scheduler": str, "slack": str}, "causes": (dict, None),
}  # fmt: skip
SHAPES = {
    "/api/v1/pipeline/overview": OVERVIEW,
    "/api/v1/pipeline/status": STATUS,
    "/api/v1/pipeline/metrics": METRICS,
    "/api/v1/pipeline/recent": RECENT,
    "/api/v1/builds": BUILDS,
    "/api/v1/events": EVENTS,
    "/": ROOT,
    "/health": HEALTH,
    **ANALYTICS,
}


def fill(api: Api) -> dict[str, Any]:
    """Store some of everything; return a running run that has a job."""
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    a_workflow(api.db, 8, "Deploy")
    bare = ("name", "title", "path", "branch", "sha", "commit_message", "author", "actor", "event", "url", "api_url")
    a_run(api.db, **dict.fromkeys(bare), conclusion="failure", duration_seconds=None)
    finished = a_run(api.db, workflow_id=8, pull_requests="[3]")
    a_job(api.db, finished)
    red = a_run(api.db, conclusion="failure")
    a_failure(api.db, red, a_job(api.db, red, name="test", conclusion="failure"))
    shipped = (a_deployment("success", created_at=T0 - 900), a_deployment("failure", created_at=T0 - 600))
    api.db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed(shipped)), T0))
    again = a_run(api.db, workflow_id=8, run_number=2)
    a_job(api.db, again, conclusion="failure", steps=[[1, "Test", "completed", "failure", T0, T0 + 9]])
    a_run(api.db, status="queued", created_at=T0 - 30)
    run = a_run(api.db, status="in_progress", created_at=T0 - 60)
    a_job(api.db, run, name="test", status="in_progress", conclusion=None, completed_at=None, labels=[])
    return run


@pytest.mark.parametrize("path", SHAPES)
def test_every_field_on_an_empty_database(api: Api, path: str) -> None:
    check(api.get(path), SHAPES[path])


@pytest.mark.parametrize("path", SHAPES)
def test_every_field_on_a_filled_database(api: Api, path: str) -> None:
    fill(api)
    found = api.get(path)
    check(found, SHAPES[path])
    for name in ("recent_deployments", "current_builds", "activities", "builds", "active_branches"):
        assert found.get(name, [1]), f"{name} is empty: its items were not checked"


def test_every_field_of_a_build(api: Api) -> None:
    running = fill(api)
    for build in api.get("/api/v1/builds")["builds"]:
        check(api.get(f"/api/v1/builds/{build['id']}"), BUILD)
    assert api.get(f"/api/v1/builds/{running['id']}")["jobs"][0]["steps"]
