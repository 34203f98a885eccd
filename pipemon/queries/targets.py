"""What an action is about: a build that is watched, and where GitHub has it."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.logs import StepSpan, spans_of
from pipemon.queries.scope import Scope, where
from pipemon.store.rows import job_from_row
from pipemon.store.schema import jobs, repositories, runs


@dataclass(frozen=True, slots=True)
class Target:
    """A build to act on. `repository` is its name on GitHub now, `api_url` GitHub's address of the run."""

    build_id: int
    repository: str
    api_url: str | None
    url: str | None
    status: str


def find(conn: Connection, scope: Scope, build_id: int) -> Target | None:
    """Return the build with that id in the scope."""
    name = sa.func.coalesce(repositories.c.current_name, repositories.c.name)
    query = sa.select(runs.c.id, name, runs.c.api_url, runs.c.url, runs.c.status).select_from(runs.join(repositories))
    row = conn.execute(query.where(runs.c.id == build_id, *where(scope))).one_or_none()
    return None if row is None else Target(*row)


@dataclass(frozen=True, slots=True)
class JobTarget:
    """A job whose log is asked for, and its steps that ran."""

    id: int
    name: str
    status: str
    conclusion: str | None
    url: str | None
    steps: tuple[StepSpan, ...]


def find_job(conn: Connection, build_id: int, job_id: int) -> JobTarget | None:
    """Return a job of the build, of any attempt."""
    query = sa.select(jobs).where(jobs.c.id == job_id, jobs.c.run_id == build_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return JobTarget(row.id, row.name, row.status, row.conclusion, row.url, spans_of(job_from_row(row).steps))


def has_job(conn: Connection, build_id: int, job_id: int) -> bool:
    """Whether the build has this job, in any attempt."""
    query = sa.select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.run_id == build_id)
    return conn.execute(query).one_or_none() is not None
