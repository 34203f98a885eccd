"""Records to rows and back: the one place that knows which column holds which field of a run, attempt or job."""

import json

import sqlalchemy as sa

from pipemon.domain.runs import Attempt, AttemptTimes, Commit, Job, Run, Step

# A commit message has been seen at 9,560 characters; nobody reads the rest of a longer one here.
LONGEST_MESSAGE = 10_000

_RUN_FIELDS = (
    "id", "workflow_id", "run_number", "run_attempt", "name", "title", "path", "event", "status", "conclusion",
    "branch", "sha", "head_repository", "actor", "triggering_actor", "created_at", "started_at", "updated_at",
    "url", "api_url",
)  # fmt: skip
_TIMES_FIELDS = ("first_job_at", "completed_at", "duration_seconds", "duration_source", "queue_seconds")
_JOB_FIELDS = (
    "id", "run_id", "run_attempt", "name", "status", "conclusion", "created_at", "started_at", "completed_at",
    "runner_name", "runner_group_name", "url",
)  # fmt: skip
_STEP_FIELDS = ("number", "name", "status", "conclusion", "started_at", "completed_at")


def run_from_row(row: sa.Row[tuple[object, ...]]) -> Run:
    """Return the run that a row of `runs`, with its repository's name, holds."""
    values = row._mapping
    commit = Commit(
        values["commit_message"],
        values["commit_author_name"],
        values["commit_author_email"],
        values["committer_name"],
        values["committer_email"],
        values["committed_at"],
    )
    return Run(
        repository=values["repository"],
        commit=None if commit == Commit() else commit,
        pull_requests=tuple(json.loads(values["pull_requests"])),
        **{name: values[name] for name in _RUN_FIELDS},
    )


def run_row(run: Run, latest: Attempt, repository_id: int) -> dict[str, object]:
    """Return the row of a run whose latest attempt is the given one."""
    commit = run.commit or Commit()
    row: dict[str, object] = {name: getattr(run, name) for name in _RUN_FIELDS}
    row |= {
        "repository_id": repository_id,
        "author": commit.author_name or run.actor,
        "commit_message": None if commit.message is None else commit.message[:LONGEST_MESSAGE],
        "commit_author_name": commit.author_name,
        "commit_author_email": commit.author_email,
        "committer_name": commit.committer_name,
        "committer_email": commit.committer_email,
        "committed_at": commit.committed_at,
        "pull_requests": json.dumps(run.pull_requests),
        "completed_at": latest.times.completed_at,
        "duration_seconds": latest.times.duration_seconds,
        "duration_source": latest.times.duration_source,
        "queue_seconds": latest.times.queue_seconds,
    }
    return row


def attempt_from_row(row: sa.Row[tuple[object, ...]]) -> Attempt:
    """Return the attempt that a row of `attempts` holds."""
    values = row._mapping
    return Attempt(
        run_id=values["run_id"],
        run_attempt=values["run_attempt"],
        status=values["status"],
        updated_at=values["updated_at"],
        conclusion=values["conclusion"],
        started_at=values["started_at"],
        settled_at=values["settled_at"],
        triggering_actor=values["triggering_actor"],
        times=AttemptTimes(*(values[name] for name in _TIMES_FIELDS)),
        jobs_complete=values["jobs_complete"],
    )


def attempt_row(attempt: Attempt, repository_id: int) -> dict[str, object]:
    """Return the row of an attempt."""
    return {
        "run_id": attempt.run_id,
        "run_attempt": attempt.run_attempt,
        "repository_id": repository_id,
        "status": attempt.status,
        "updated_at": attempt.updated_at,
        "conclusion": attempt.conclusion,
        "started_at": attempt.started_at,
        "settled_at": attempt.settled_at,
        "triggering_actor": attempt.triggering_actor,
        "jobs_complete": attempt.jobs_complete,
        **{name: getattr(attempt.times, name) for name in _TIMES_FIELDS},
    }


def job_from_row(row: sa.Row[tuple[object, ...]]) -> Job:
    """Return the job that a row of `jobs` holds."""
    values = row._mapping
    steps = tuple(Step(**dict(zip(_STEP_FIELDS, step, strict=True))) for step in json.loads(values["steps"]))
    return Job(labels=tuple(json.loads(values["labels"])), steps=steps, **{name: values[name] for name in _JOB_FIELDS})


def job_row(job: Job, repository_id: int) -> dict[str, object]:
    """Return the row of a job."""
    steps = [[getattr(step, name) for name in _STEP_FIELDS] for step in job.steps]
    return {
        "repository_id": repository_id,
        "labels": json.dumps(job.labels),
        "steps": json.dumps(steps, separators=(",", ":")),
        **{name: getattr(job, name) for name in _JOB_FIELDS},
    }
