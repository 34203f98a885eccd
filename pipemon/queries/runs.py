"""Runs as lists and one by one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.analytics.critical_path import Span, critical_path
from pipemon.domain.runs import Job, is_completed, job_really_ran
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Condition, Query, Scope, where
from pipemon.store.engine import Database
from pipemon.store.runs import job_from_row
from pipemon.store.schema import attempts, jobs, runs

# The order of a list -> the columns it is sorted by; the id settles what is equal.
SORTS = {
    "started_at": runs.c.started_at,
    "created_at": runs.c.created_at,
    "updated_at": runs.c.updated_at,
    "duration": runs.c.duration_seconds,
    "queue": runs.c.queue_seconds,
    "run_number": runs.c.run_number,
}

# A page beyond this many rows is read off the hub: the database has to step over all rows before it.
DEEP_OFFSET = 2000

STARTED_AT = sa.func.coalesce(runs.c.started_at, runs.c.created_at)
NAME = sa.func.coalesce(runs.c.name, runs.c.title, runs.c.path)
AUTHOR = sa.func.coalesce(runs.c.author, runs.c.actor)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list, as its latest attempt stands. Moments and durations in seconds."""

    id: int
    run_number: int
    name: str | None
    status: str
    conclusion: str | None
    branch: str | None
    sha: str | None
    commit_message: str | None
    author: str | None
    started_at: int
    updated_at: int
    duration_seconds: int | None
    url: str | None
    event: str | None
    actor: str | None
    run_attempt: int
    queue_seconds: int | None
    repository: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `total_count` is of all pages, after the filters."""

    builds: tuple[RunRow, ...]
    page: int
    per_page: int
    total_count: int
    as_of: AsOf

    @property
    def has_next(self) -> bool:
        """Whether another page follows."""
        return self.page * self.per_page < self.total_count


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of the runs of a scope, in which order ("-" first: falling). `page` counts from 1."""

    scope: Scope
    page: int = 1
    per_page: int = 20
    sort: str = "-started_at"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a run."""

    run_attempt: int
    status: str
    conclusion: str | None
    started_at: int | None
    duration_seconds: int | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job, and how many seconds it waited for a runner (None where that is not known)."""

    job: Job
    queue_seconds: int | None


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


_COLUMNS = (
    runs.c.id,
    runs.c.run_number,
    NAME,
    runs.c.status,
    runs.c.conclusion,
    runs.c.branch,
    runs.c.sha,
    # Lists show a first line; the rest of a long message would only be carried around.
    sa.func.substr(runs.c.commit_message, 1, 250),
    AUTHOR,
    STARTED_AT,
    runs.c.updated_at,
    runs.c.duration_seconds,
    runs.c.url,
    runs.c.event,
    runs.c.actor,
    runs.c.run_attempt,
    runs.c.queue_seconds,
    runs.c.repository_id,
)


def elapsed(status: str, started_at: int, updated_at: int, duration_seconds: int | None, as_of: int) -> int | None:
    """Return the duration to show: of a running run up to `as_of`, or its last observation where that is later."""
    if status != "in_progress":
        return duration_seconds
    return max(0, max(as_of, updated_at) - started_at)


def to_row(row: Sequence[object], names: Mapping[int, str], as_of: int) -> RunRow:
    """Return the list item that a row of `_COLUMNS` holds."""
    *values, repository_id = row
    run = RunRow(*values, names[repository_id])  # type: ignore[call-arg, arg-type, index]
    if run.status != "in_progress":
        return run
    duration = elapsed(run.status, run.started_at, run.updated_at, None, as_of)
    return RunRow(*values[:11], duration, *values[12:], run.repository)  # type: ignore[call-arg, arg-type]


def page(db: Database, wanted: Wanted, as_of: AsOf) -> Page:
    """Return one page of the scope's runs."""
    conditions = where(wanted.scope)
    query = _page_query(wanted, conditions)
    total = db.heavy(sa.select(sa.func.count()).select_from(runs).where(*conditions))[0][0]
    if wanted.scope.text is not None or (wanted.page - 1) * wanted.per_page > DEEP_OFFSET:
        rows: Sequence[Sequence[object]] = db.heavy(query)
    else:
        with db.read() as conn:
            rows = conn.execute(query).all()
    found = tuple(to_row(row, wanted.scope.repositories, as_of.timestamp) for row in rows)
    return Page(found, wanted.page, wanted.per_page, total, as_of)


def _page_query(wanted: Wanted, conditions: Sequence[Condition]) -> Query:
    column = SORTS[wanted.sort.removeprefix("-")]
    falling = wanted.sort.startswith("-")
    order = [column.desc() if falling else column.asc(), runs.c.id.desc() if falling else runs.c.id.asc()]
    # SQLite and PostgreSQL disagree on where NULL sorts; unknown comes last here.
    order[0] = order[0].nulls_last()
    query = sa.select(*_COLUMNS).where(*conditions).order_by(*order)
    return query.limit(wanted.per_page).offset((wanted.page - 1) * wanted.per_page)


def get(conn: Connection, scope: Scope, run_id: int, as_of: Callable[[str], int]) -> RunDetail | None:
    """Return one run with its attempts and the jobs of its latest one; None where the scope has no such run.

    `as_of` tells up to when a repository's data is true.
    """
    query = sa.select(runs, NAME.label("shown_name"), AUTHOR.label("shown_author"), STARTED_AT.label("began_at"))
    run: Any = conn.execute(query.where(*where(scope), runs.c.id == run_id)).one_or_none()
    if run is None:
        return None
    repository = scope.repositories[run.repository_id]
    found = _jobs(conn, run_id, run.run_attempt)
    ran = [job for job in found if job_really_ran(job, run.began_at)]
    return RunDetail(
        run=run,
        repository=repository,
        duration_seconds=elapsed(run.status, run.began_at, run.updated_at, run.duration_seconds, as_of(repository)),
        attempts=_attempts(conn, run_id),
        jobs=tuple(JobRow(job, _queue_seconds(job) if job in ran else None) for job in found),
        critical_path=_critical_path(ran) if is_completed(run.status) else (),
        pull_requests=tuple(json.loads(run.pull_requests)),
    )


def _attempts(conn: Connection, run_id: int) -> tuple[AttemptRow, ...]:
    columns = [attempts.c[name] for name in AttemptRow.__dataclass_fields__]
    query = sa.select(*columns).where(attempts.c.run_id == run_id).order_by(attempts.c.run_attempt)
    return tuple(AttemptRow(*row) for row in conn.execute(query))


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
