"""What an action is about: a build that is watched, and where GitHub has it."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.queries.scope import Scope, where
from pipemon.store.schema import jobs, repositories, runs


@dataclass(frozen=True, slots=True)
class Target:
    """A build to act on. `repository` is its name on GitHub now, `api_url` GitHub's address of the run."""

    build_id: int
    repository: str
    api_url: str | None


def find(conn: Connection, scope: Scope, build_id: int) -> Target | None:
    """Return the build with that id in the scope."""
    name = sa.func.coalesce(repositories.c.current_name, repositories.c.name)
    query = sa.select(runs.c.id, name, runs.c.api_url).select_from(runs.join(repositories))
    row = conn.execute(query.where(runs.c.id == build_id, *where(scope))).one_or_none()
    return None if row is None else Target(*row)


def has_job(conn: Connection, build_id: int, job_id: int) -> bool:
    """Whether the build has this job, in any attempt."""
    query = sa.select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.run_id == build_id)
    return conn.execute(query).one_or_none() is not None
