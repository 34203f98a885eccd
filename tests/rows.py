"""Rows straight into the tables, for tests of what reads them: valid in one line, override what matters."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pipemon.store import days, streaks
from pipemon.store.engine import Database
from pipemon.store.schema import attempts, event_log, jobs, repositories, runs, workflows
from pipemon.store.schema_failures import failures
from tests.builders import T0

_ids = itertools.count(30_000_000_001)


def put(db: Database, table: sa.Table, *rows: dict[str, object]) -> None:
    """Insert the rows, with what `ingest.apply` brings along: the red streaks, and the marks of their days."""

    def work(conn: sa.Connection) -> None:
        for row in rows:
            conn.execute(sa.insert(table).values(row))
        if table is attempts:
            ids = {row["run_id"] for row in rows}
            query = sa.select(runs.c.workflow_id).where(runs.c.id.in_(ids)).distinct()
            for workflow_id in conn.execute(query).scalars().all():
                streaks.rebuild(conn, workflow_id)
        if table is runs:
            days.touch(conn, [row["created_at"] for row in rows])  # type: ignore[misc]
        elif table in (attempts, jobs, failures):
            of = sa.select(runs.c.created_at).where(runs.c.id.in_({row["run_id"] for row in rows}))
            days.touch(conn, conn.execute(of).scalars())

    db.transact(work)


def change(db: Database, *statements: sa.Update) -> None:
    """Run the statements, past the write path; all days count as touched."""

    def work(conn: sa.Connection) -> None:
        for statement in statements:
            conn.execute(statement)
        days.forget(conn)

    db.transact(work)


def bump(db: Database) -> None:
    """Move the data revision, as every applied batch does."""
    db.transact(lambda conn: conn.execute(sa.update(event_log).values(revision=event_log.c.revision + 1)))


def a_repository(db: Database, number: int = 1, **over: object) -> dict[str, object]:
    """Store a watched repository that was read just before T0."""
    name = str(over.get("name", f"acme/shop-{number}"))
    row: dict[str, object] = {
        "id": number,
        "name": name,
        "current_name": name,
        "default_branch": "main",
        "watched": True,
        "last_success_at": T0 - 10,
        "due_by": T0 + 600,
        "interval_seconds": 30,
    } | over
    put(db, repositories, row)
    return row


def a_workflow(db: Database, workflow_id: int, name: str, path: str | None = None, repository_id: int = 1) -> None:
    """Store a workflow."""
    path = path or f".github/workflows/{name.lower()}.yml"
    put(
        db,
        workflows,
        {"id": workflow_id, "repository_id": repository_id, "name": name, "path": path, "named_at": T0},
    )


def a_run(db: Database, **over: object) -> dict[str, object]:
    """Store a run and its attempt: completed, successful, on main, two minutes long, an hour before T0."""
    run = run_row(**over)
    attempt = {
        "run_id": run["id"],
        **{name: run[name] for name in ("run_attempt", "repository_id", "status", "conclusion", "started_at")},
        **{
            name: run[name]
            for name in ("updated_at", "completed_at", "duration_seconds", "duration_source", "queue_seconds")
        },
        "jobs_complete": run["status"] == "completed",
    }
    put(db, runs, run)
    put(db, attempts, attempt)
    return run


def run_row(**over: object) -> dict[str, object]:
    """Return a row of `runs`."""
    run_id = over.pop("id", None) or next(_ids)
    repository_id = over.get("repository_id", 1)
    name = f"acme/shop-{repository_id}"
    at = over.get("created_at", T0 - 3600)
    assert isinstance(at, int)
    over.setdefault("started_at", at)
    ended = over.get("status", "completed") == "completed"
    row: dict[str, object] = {
        "id": run_id,
        "repository_id": repository_id,
        "workflow_id": 7,
        "run_number": 1,
        "name": "CI",
        "title": "Mend the door",
        "path": ".github/workflows/ci.yml",
        "event": "push",
        "branch": "main",
        "sha": "0123456789abcdef0123456789abcdef01234567",
        "head_repository": name,
        "actor": "octo",
        "triggering_actor": "octo",
        "author": "Ada Octo",
        "commit_message": "Mend the door\n\nIt was stuck.",
        "commit_author_name": "Ada Octo",
        "commit_author_email": "ada@example.com",
        "committer_name": "GitHub",
        "committer_email": "noreply@github.com",
        "committed_at": at - 60,
        "pull_requests": "[]",
        "url": f"https://github.com/{name}/actions/runs/{run_id}",
        "api_url": f"https://api.github.com/repos/{name}/actions/runs/{run_id}",
        "created_at": at,
        "run_attempt": 1,
        "status": "completed",
        "conclusion": "success" if ended else None,
        "updated_at": at + 120 if ended else at + 5,
        "completed_at": at + 120 if ended else None,
        "duration_seconds": 120 if ended else None,
        "duration_source": "jobs" if ended and over.get("duration_seconds", 120) is not None else None,
        "queue_seconds": 4,
    }
    return row | over


def a_job(db: Database, run: dict[str, object], **over: object) -> dict[str, object]:
    """Store a job of the run's latest attempt, completed with success."""
    at = run["started_at"]
    assert isinstance(at, int)
    labels = over.pop("labels", ["ubuntu-latest"])
    steps = over.pop("steps", [[1, "Check out", "completed", "success", at + 4, at + 9]])
    row: dict[str, object] = {
        "id": next(_ids),
        "run_id": run["id"],
        "run_attempt": run["run_attempt"],
        "repository_id": run["repository_id"],
        "name": "build",
        "status": "completed",
        "conclusion": "success",
        "created_at": at,
        "started_at": at + 4,
        "completed_at": at + 120,
        "runner_name": "GitHub Actions 1",
        "runner_group_name": "GitHub Actions",
        "labels": json.dumps(labels),
        "url": f"{run['url']}/job/1",
        "steps": json.dumps(steps, separators=(",", ":")),
    } | over
    put(db, jobs, row)
    return row


def a_failure(db: Database, run: Mapping[str, Any], job: Mapping[str, Any], **over: object) -> dict[str, object]:
    """Store why a job failed: a test, unless told otherwise."""
    row: dict[str, object] = {
        "job_id": job["id"],
        "run_id": run["id"],
        "repository_id": run["repository_id"],
        "completed_at": job["completed_at"],
        "state": "read",
        "due_at": job["completed_at"],
        "tries": 0,
        "step": "Test",
        "step_number": 4,
        "signature": "0123456789abcdef",
        "title": "FAILED tests/test_door.py::test_it_opens",
        "platform": False,
        "lines": json.dumps([[7, "2025-10-09T07:55:19.0000000Z", "error", "FAILED tests/test_door.py::test_it_opens"]]),
    } | over
    put(db, failures, row)
    return row
