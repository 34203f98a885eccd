"""Deployments as rows: one per GitHub deployment, with its statuses, its commits and its verdict."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.deployments import LOOK_BACK, Commit, Comparison, Deployment, DeploymentStatus, Step, Verdict
from pipemon.store import sheets
from pipemon.store.events import bump_revision
from pipemon.store.schema import repositories, runs
from pipemon.store.schema_deployments import deployment_reads, deployments
from pipemon.store.upsert import upsert

# So many of the newest are judged anew with each: of their commits more may be known by now.
RECENT = 100

_FIELDS = (
    "id", "environment", "source", "sha", "ref", "task", "creator", "description", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overruling:
    """What a person said of a deployment in the place of the verdict; a kind of None takes that back."""

    kind: str | None
    by: str
    at: int
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Uncompared:
    """A deployment of which the range of commits was not read yet."""

    id: int
    base: str
    head: str


def load(conn: Connection, ids: Iterable[int]) -> dict[int, Deployment]:
    """Return those of the deployments that are stored, by id."""
    query = sa.select(*(deployments.c[name] for name in _FIELDS), deployments.c.statuses)
    rows = conn.execute(query.where(deployments.c.id.in_(list(ids))))
    return {row.id: _from_row(row) for row in rows}


def _from_row(row: Any) -> Deployment:
    values = row._mapping
    statuses = tuple(DeploymentStatus(*one) for one in json.loads(values["statuses"]))
    return Deployment(statuses=statuses, **{name: values[name] for name in _FIELDS})


def put(conn: Connection, repository_id: int, changed: Sequence[Deployment]) -> None:
    """Store the deployments as they are now."""
    upsert(conn, deployments, [_row(repository_id, one) for one in changed])


def _row(repository_id: int, one: Deployment) -> dict[str, object]:
    statuses = [[status.id, status.state, status.created_at, status.url] for status in one.statuses]
    told = ("state", "deployed_at", "failed_at", "finished_at", "url")
    return {name: getattr(one, name) for name in (*_FIELDS, *told)} | {
        "repository_id": repository_id,
        "statuses": json.dumps(statuses, separators=(",", ":")),
    }


def history(conn: Connection, repository_id: int, environment: str, touched_at: int) -> tuple[list[Step], int]:
    """Return the finished deployments of an environment in their order, and how many at their begin only stand.

    Those are there because the verdicts of the others look back at them. What has changed, at `touched_at` or later, is
    among the others, and so are the RECENT ones.
    """
    table = deployments.c
    # Of the runs of a commit all that tell its message tell the same.
    message = sa.select(sa.func.max(runs.c.commit_message)).where(runs.c.sha == table.sha).scalar_subquery()
    columns = (table.id, table.sha, table.finished_at, table.deployed_at, message.label("message"))
    compared = (table.compared_with, table.comparison, table.ahead_by, table.behind_by)
    # Of the commits only a revert is asked for.
    reverts = sa.case((table.commits.like("%evert%"), table.commits)).label("commits")
    line = (table.repository_id == repository_id, table.environment == environment, table.finished_at.is_not(None))
    newest = sa.select(table.finished_at).where(*line).order_by(table.finished_at.desc(), table.id.desc()).limit(1)
    before = newest.where(table.finished_at < touched_at).offset(LOOK_BACK - 1)
    edges = [conn.execute(query).scalar() or 0 for query in (newest.offset(LOOK_BACK + RECENT - 1), before)]
    query = sa.select(*columns, *compared, reverts).where(*line, table.finished_at >= min(edges))
    steps = [
        Step(row.id, row.sha, row.finished_at, row.deployed_at is not None, row.message or "", _comparison(row))
        for row in conn.execute(query.order_by(table.finished_at, table.id))
    ]
    return steps, LOOK_BACK if min(edges) else 0


def _comparison(row: Any) -> Comparison | None:
    if row.compared_with is None:
        return None
    commits = tuple(Commit(*one) for one in json.loads(row.commits or "[]"))
    return Comparison(row.compared_with, row.comparison, row.ahead_by or 0, row.behind_by or 0, commits)


def load_verdicts(conn: Connection, repository_id: int, environment: str, from_at: int) -> dict[int, Verdict]:
    """Return the verdicts from a moment on, by the deployment's id; what a person said is not among them."""
    table = deployments.c
    query = sa.select(table.id, table.kind, table.rule, table.evidence, table.blamed_id).where(
        table.repository_id == repository_id, table.environment == environment, table.kind.is_not(None),
        table.finished_at >= from_at,
    )  # fmt: skip
    return {row.id: Verdict(row.kind, row.rule, json.loads(row.evidence), row.blamed_id) for row in conn.execute(query)}


def put_verdicts(conn: Connection, found: Mapping[int, Verdict]) -> None:
    """Store these verdicts, each one version on."""
    for deployment_id, verdict in found.items():
        values = {
            "kind": verdict.kind,
            "rule": verdict.rule,
            "evidence": json.dumps(verdict.evidence, separators=(",", ":")),
            "blamed_id": verdict.blamed,
            "previous_id": verdict.evidence.get("previous_deployment"),
            "verdict_version": _next_version(),
        }
        conn.execute(sa.update(deployments).where(deployments.c.id == deployment_id).values(values))


def _next_version() -> sa.ColumnElement[int]:
    return sa.func.coalesce(deployments.c.verdict_version, 0) + 1


def overrule(conn: Connection, deployment_id: int, version: int, said: Overruling) -> bool:
    """Record what a person says of a deployment; False where its verdict is not of that version any more."""
    where = (deployments.c.id == deployment_id) & (sa.func.coalesce(deployments.c.verdict_version, 0) == version)
    values = {
        "overruled_kind": said.kind,
        "overruled_by": said.by,
        "overruled_at": said.at,
        "overruled_why": said.why,
        "verdict_version": _next_version(),
    }
    done = conn.execute(sa.update(deployments).where(where).values(values)).rowcount == 1
    if done:
        bump_revision(conn)  # answers may differ from now on
        place = sa.select(deployments.c.repository_id, deployments.c.environment, deployments.c.finished_at)
        repository_id, environment, at = conn.execute(place.where(deployments.c.id == deployment_id)).one()
        sheets.touch(conn, repository_id, environment, [] if at is None else [at])
    return done


def put_comparison(conn: Connection, deployment_id: int, found: Comparison) -> None:
    """Store what changed since the deployment that was live before."""
    commits = [[one.sha, one.committed_at, one.message, one.author, one.is_merge] for one in found.commits]
    values = {
        "compared_with": found.base,
        "comparison": found.status,
        "ahead_by": found.ahead_by,
        "behind_by": found.behind_by,
        "commits": json.dumps(commits, separators=(",", ":")),
    }
    conn.execute(sa.update(deployments).where(deployments.c.id == deployment_id).values(values))


def list_uncompared(conn: Connection, repository_id: int, limit: int) -> list[Uncompared]:
    """Return the newest deployments whose commits since the one before were not read, or against another one."""
    one, before = deployments.alias("one"), deployments.alias("before")
    query = (
        sa.select(one.c.id, before.c.sha, one.c.sha)
        .join(before, before.c.id == one.c.previous_id)
        .where(one.c.repository_id == repository_id, one.c.sha != before.c.sha)
        .where(sa.func.coalesce(one.c.compared_with, "") != before.c.sha)
        .order_by(one.c.finished_at.desc(), one.c.id.desc())
        .limit(limit)
    )
    return [Uncompared(*row) for row in conn.execute(query)]


def list_wanting_statuses(conn: Connection, repository_id: int, limit: int) -> list[Deployment]:
    """Return the newest deployments whose statuses were never read whole, or that have moved since."""
    query = sa.select(*(deployments.c[name] for name in _FIELDS), deployments.c.statuses).where(
        deployments.c.repository_id == repository_id,
        deployments.c.source == "github",
        sa.func.coalesce(deployments.c.statuses_of, -1) < deployments.c.updated_at,
    )
    rows = conn.execute(query.order_by(deployments.c.created_at.desc(), deployments.c.id.desc()).limit(limit))
    return [_from_row(row) for row in rows]


def mark_read(conn: Connection, read: Mapping[int, int]) -> None:
    """Record that all statuses were read of these deployments, as they were at that `updated_at`."""
    for deployment_id, updated_at in read.items():
        where = deployments.c.id == deployment_id
        conn.execute(sa.update(deployments).where(where).values(statuses_of=updated_at))


def name_of(conn: Connection, repository_id: int) -> str:
    """Return the repository's name as it is configured: the one that events carry."""
    return str(conn.execute(sa.select(repositories.c.name).where(repositories.c.id == repository_id)).scalar_one())


def get_read(conn: Connection, repository_id: int) -> int | None:
    """Return when a repository's deployments were read first, back to the oldest wanted; None: not yet."""
    query = sa.select(deployment_reads.c.filled_at).where(deployment_reads.c.repository_id == repository_id)
    return conn.execute(query).scalar()


def record_read(conn: Connection, repository_id: int, at: int, filled: bool) -> None:
    """Record that a repository's deployments were read; `filled`: back to the oldest wanted."""
    row = {"repository_id": repository_id, "read_at": at, "error": None}
    upsert(conn, deployment_reads, [row | {"filled_at": at} if filled else row])


def record_trouble(conn: Connection, repository_id: int, why: str) -> None:
    """Record why a repository's deployments can't be read."""
    upsert(conn, deployment_reads, [{"repository_id": repository_id, "error": why[:500]}])


def list_troubles(conn: Connection) -> list[tuple[str, str]]:
    """Return the watched repositories of which the deployments can't be read, with why."""
    query = sa.select(repositories.c.name, deployment_reads.c.error).join_from(deployment_reads, repositories)
    query = query.where(repositories.c.watched, deployment_reads.c.error.is_not(None))
    return [(name, error) for name, error in conn.execute(query.order_by(repositories.c.name))]
