"""One run with all that is known of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.analytics.critical_path import Span, critical_path
from pipemon.domain.runs import Job, is_completed, job_really_ran
from pipemon.queries import failures
from pipemon.queries.runs import AUTHOR, NAME, STARTED_AT, elapsed
from pipemon.queries.scope import Scope, where
from pipemon.store.rows import job_from_row
from pipemon.store.schema import attempts, jobs, runs


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a run."""

    run_attempt: int
    status: str
    conclusion: str | None
    started_at: int | None
    duration_seconds: int | None
    duration_source: str | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job, how many seconds it waited for a runner (None where that is not known), and why it failed."""

    job: Job
    queue_seconds: int | None
    failure: failures.JobFailure | None = None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """Everything known of one run; `run` is its row.

    `critical_path` are job names; empty while it runs, or where no job is known.
    """

    run: Any
    repository: str
    duration_seconds: int | None
    attempts: tuple[AttemptRow, ...]
    jobs: tuple[JobRow, ...]
    critical_path: tuple[str, ...]
    pull_requests: tuple[int, ...]

    @property
    def commit(self) -> "RunDetail":
        """The head commit: its facts stand in the run's row."""
        return self

    @property
    def commit_url(self) -> str | None:
        """GitHub's page of the head commit."""
        if self.run.url is None or self.run.sha is None or "/actions/" not in self.run.url:
            return None
        return f"{self.run.url.split('/actions/', 1)[0]}/commit/{self.run.sha}"

    @property
    def cancel_url(self) -> str | None:
        """GitHub's API address that cancels the run."""
        return None if self.run.api_url is None else f"{self.run.api_url}/cancel"

    @property
    def rerun_url(self) -> str | None:
        """GitHub's API address that runs it again."""
        return None if self.run.api_url is None else f"{self.run.api_url}/rerun"

    @property
    def logs_url(self) -> str:
        """Our own address of its logs."""
        return f"/api/v1/builds/{self.run.id}/logs"


def get(conn: Connection, scope: Scope, run_id: int, as_of: Callable[[str], int]) -> RunDetail | None:
    """Return one run with its attempts and the jobs of its latest one; None where the scope has no such run.

    `as_of` tells up to when a repository's data is true.
    """
    query = sa.select(runs, NAME.label("shown_name"), AUTHOR.label("shown_author"), STARTED_AT.label("began_at"))
    run: Any = conn.execute(query.where(*where(scope), runs.c.id == run_id)).one_or_none()
    if run is None:
        return None
    repository = scope.repositories[run.repository_id]
    duration = elapsed(run.status, run.began_at, run.updated_at, run.duration_seconds, as_of(repository))
    found = _jobs(conn, run_id, run.run_attempt)
    ran = [job for job in found if job_really_ran(job, run.began_at)]
    why = failures.of_run(conn, scope, run_id)
    return RunDetail(
        run=run,
        repository=repository,
        duration_seconds=duration,
        attempts=_attempts(conn, run_id, run.run_attempt, duration),
        jobs=tuple(JobRow(job, _queue_seconds(job) if job in ran else None, why.get(job.id)) for job in found),
        critical_path=_critical_path(ran) if is_completed(run.status) else (),
        pull_requests=tuple(json.loads(run.pull_requests)),
    )


def _attempts(conn: Connection, run_id: int, latest: int, duration: int | None) -> tuple[AttemptRow, ...]:
    columns = [attempts.c[name] for name in AttemptRow.__dataclass_fields__]
    query = sa.select(*columns).where(attempts.c.run_id == run_id).order_by(attempts.c.run_attempt)
    found = [AttemptRow(*row) for row in conn.execute(query)]
    return tuple(replace(row, duration_seconds=duration) if row.run_attempt == latest else row for row in found)


def _jobs(conn: Connection, run_id: int, run_attempt: int) -> list[Job]:
    of_attempt = (jobs.c.run_id == run_id) & (jobs.c.run_attempt == run_attempt)
    return [job_from_row(row) for row in conn.execute(sa.select(jobs).where(of_attempt).order_by(jobs.c.id))]


def _queue_seconds(job: Job) -> int | None:
    if job.created_at is None or job.started_at is None:
        return None
    return max(0, job.started_at - job.created_at)


def _critical_path(ran: Sequence[Job]) -> tuple[str, ...]:
    spans = [
        Span(job.name, job.started_at, job.completed_at)
        for job in ran
        if job.started_at is not None and job.completed_at is not None
    ]
    return tuple(span.name for span in critical_path(spans))
