"""What rules ask of a build or a deployment beside its event: whose branch it is on, and what came before it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema import attempts, events, repositories, runs
from pipemon.store.stand_ins import has_own

FAILED = ("failure", "timed_out", "startup_failure")
DECISIVE = ("success", *FAILED)
# A streak longer than this is told as this long.
LONGEST_STREAK = 200
# Most streaks are short: more is read only where these all failed.
FEW = 5


# A run's number and attempt: of two on one line, the greater is the later.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Build:
    """What rules ask of a run beside its event."""

    repository_id: int
    default_branch: str | None
    on_own_branch: bool
    pull_request: bool
    author: str | None
    duration_seconds: int | None
    run_number: int
    failures: int  # decisive failures in a row, this run among them if it failed
    was_red: bool  # the decisive run before it failed
    has_deployments: bool = False  # its repository tells GitHub of its deployments
    head_repository: str | None = None
    red_since: "Place | None" = None  # where the failures in a row begin; None where there are none, or too many
    red_at: int | None = None  # when the first of them ended


def build(conn: Connection, run_id: int, attempt: int) -> Build | None:
    """Return what is known of a run; None where it is not stored."""
    names = (repositories.c.name.label("watched_name"), repositories.c.current_name)
    query = sa.select(runs, *names, repositories.c.default_branch)
    row = conn.execute(query.select_from(runs.join(repositories)).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        return None
    pull_request = (row.event or "").startswith("pull_request")
    own = (row.head_repository or "").lower() in {
        row.watched_name.lower(),
        (row.current_name or row.watched_name).lower(),
    }
    before = _decisive_before(conn, row, attempt)
    reds = next((index for index, one in enumerate(before) if one.conclusion == "success"), len(before))
    failed = row.conclusion in FAILED
    own_end = _End(row.conclusion, (row.run_number, attempt), row.completed_at or row.updated_at)
    first = before[reds - 1] if reds else own_end if failed else None
    first = first if reds < LONGEST_STREAK else None
    author = row.actor or row.author
    return Build(
        row.repository_id, row.default_branch, own, pull_request, author, row.duration_seconds, row.run_number,
        reds + failed, reds > 0, has_own(conn, row.repository_id), row.head_repository,
        first and first.place, first and first.ended_at,
    )  # fmt: skip


def branch_of(conn: Connection, data: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return a deployment's repository, its default branch, and the branch that was deployed, as far as it is known.

    GitHub tells a branch, a tag or a commit; of a commit, the runs tell of which branch it is, the default one first.
    """
    name, ref, sha = str(data.get("repository") or ""), str(data.get("ref") or ""), data.get("commit_sha")
    same = sa.or_(repositories.c.name == name, repositories.c.current_name == name)
    found = conn.execute(sa.select(repositories.c.id, repositories.c.default_branch).where(same)).first()
    if found is None:
        return name, None, ref.removeprefix("refs/heads/") or None
    if ref and ref != sha:
        return name, found.default_branch, ref.removeprefix("refs/heads/")
    query = sa.select(runs.c.branch).where(runs.c.repository_id == found.id, runs.c.sha == sha).distinct()
    branches = [branch for branch in conn.execute(query).scalars() if branch]
    branch = found.default_branch if found.default_branch in branches else next(iter(sorted(branches)), None)
    return name, found.default_branch, branch


def place_of(conn: Connection, event_id: int | None) -> Place | None:
    """Return where the build of an event stands; None where the log does not hold it any more, or it is of none."""
    query = sa.select(runs.c.run_number, events.c.run_attempt).join_from(events, runs, runs.c.id == events.c.run_id)
    row = conn.execute(query.where(events.c.id == event_id)).one_or_none()
    return None if row is None else (row.run_number, row.run_attempt or 1)


class _End(NamedTuple):
    conclusion: str
    place: Place
    ended_at: int


def _decisive_before(conn: Connection, row: Any, attempt: int) -> list[_End]:
    """Return the decisive ends before this attempt of its workflow and branch, newest first."""
    is_pull_request = sa.func.coalesce(runs.c.event, "").startswith("pull_request")
    same = [
        runs.c.workflow_id == row.workflow_id,
        runs.c.branch == row.branch,
        runs.c.head_repository == row.head_repository,
        is_pull_request if (row.event or "").startswith("pull_request") else sa.not_(is_pull_request),
        runs.c.run_number < row.run_number,
        runs.c.conclusion.in_(DECISIVE),
        runs.c.deleted_at.is_(None),
    ]
    ended = (sa.func.coalesce(table.c.completed_at, table.c.updated_at).label("ended_at") for table in (runs, attempts))
    query = sa.select(runs.c.conclusion, runs.c.run_number, runs.c.run_attempt, next(ended)).where(*same)
    earlier = sa.select(attempts.c.conclusion, attempts.c.run_attempt, next(ended)).where(
        attempts.c.run_id == row.id, attempts.c.run_attempt < attempt, attempts.c.conclusion.in_(DECISIVE)
    )
    own = conn.execute(earlier.order_by(attempts.c.run_attempt.desc()))
    found = [_End(one.conclusion, (row.run_number, one.run_attempt), one.ended_at) for one in own]
    newest = query.order_by(runs.c.run_number.desc())
    others = conn.execute(newest.limit(FEW)).all()
    if len(others) == FEW and all(one.conclusion in FAILED for one in others):
        others = conn.execute(newest.limit(LONGEST_STREAK)).all()
    return found + [_End(one.conclusion, (one.run_number, one.run_attempt), one.ended_at) for one in others]
