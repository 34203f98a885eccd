"""GitHub deployments for answers: lists, rollbacks, what is live where, and each environment's history."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Condition, Query, Scope, in_repositories
from pipemon.store.engine import Database
from pipemon.store.schema_deployments import UNDOING, deployments, sheets

_KIND: sa.ColumnElement[str] = sa.func.coalesce(deployments.c.overruled_kind, deployments.c.kind)
KIND = _KIND.label("kind")
COLUMNS = (
    *(
        deployments.c[name]
        for name in ("id", "repository_id", "environment", "source", "sha", "ref", "creator", "created_at")
    ),
    *(deployments.c[name] for name in ("state", "deployed_at", "failed_at", "finished_at", "url", "ahead_by")),
    *(deployments.c[name] for name in ("rule", "evidence", "blamed_id", "previous_id", "overruled_by", "overruled_at")),
    deployments.c.overruled_why,
    sa.func.coalesce(deployments.c.verdict_version, 0).label("version"),
    KIND,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One deployment. `kind` and what belongs to it are null until it has succeeded or failed."""

    id: int
    repository: str
    environment: str
    source: str
    sha: str
    ref: str | None
    creator: str | None
    created_at: int
    state: str
    deployed_at: int | None
    failed_at: int | None
    url: str | None
    commits: int | None
    kind: str | None
    rule: str | None
    evidence: Mapping[str, object]
    blamed_id: int | None
    overruled_by: str | None
    overruled_at: int | None
    overruled_why: str | None
    version: int

    @property
    def duration_seconds(self) -> int | None:
        """From the deployment's creation to its first success, else failure."""
        end = self.failed_at if self.deployed_at is None else self.deployed_at
        return None if end is None else max(0, end - self.created_at)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    deployments: Sequence[Shown]
    page: int
    per_page: int
    total_count: int
    as_of: AsOf

    @property
    def has_next(self) -> bool:
        """Whether there is a page behind it."""
        return self.page * self.per_page < self.total_count


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deployments are wanted; None filters nothing."""

    environment: str | None = None
    state: str | None = None
    kind: str | None = None
    sha: str | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """A rollback, the deployment that it undid, and how long that was live. `failed_at`: when that one went wrong."""

    id: int
    repository: str
    environment: str
    kind: str
    failed_sha: str | None
    failed_at: int | None
    restored_sha: str
    rolled_back_at: int
    url: str | None

    rollback_detected: bool = True

    @property
    def duration_minutes(self) -> float | None:
        """From the failed deployment to the recovery."""
        return None if self.failed_at is None else round(max(0, self.rolled_back_at - self.failed_at) / 60, 2)


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """The newest rollbacks, and how many there are in all."""

    rollback_events: Sequence[Rollback]
    total_count: int
    as_of: AsOf


def page(db: Database, scope: Scope, wanted: Filter, at: tuple[int, int], as_of: AsOf) -> Page:
    """Return a page of deployments, newest first; `at` is the page's number and its length."""
    where = _where(scope, wanted)
    total = db.heavy(sa.select(sa.func.count()).select_from(deployments).where(*where))[0][0]
    query = sa.select(*COLUMNS).where(*where).order_by(deployments.c.created_at.desc(), deployments.c.id.desc())
    with db.read() as conn:
        rows = conn.execute(query.limit(at[1]).offset((at[0] - 1) * at[1])).all()
    return Page([_shown(row, scope) for row in rows], *at, total, as_of)


def get(db: Database, scope: Scope, deployment_id: int) -> Shown | None:
    """Return one deployment; None where no repository of the scope has it."""
    query = sa.select(*COLUMNS).where(deployments.c.id == deployment_id, *_where(scope, Filter()))
    with db.read() as conn:
        row = conn.execute(query).first()
    return None if row is None else _shown(row, scope)


def live_rows(db: Database, scope: Scope) -> list[Shown]:
    """Return what is live: the newest successful deployment of each environment, by repository and environment."""
    own = in_repositories(sheets.c.repository_id, scope.repositories)
    known = sa.select(sheets.c.repository_id, sheets.c.environment).distinct().where(own).subquery("known")
    table = deployments.c
    newest = (
        sa.select(table.id)
        .where(table.repository_id == known.c.repository_id, table.environment == known.c.environment)
        .where(table.deployed_at.is_not(None), table.finished_at.is_not(None))
        .order_by(table.finished_at.desc(), table.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    ids = [key for (key,) in db.heavy(sa.select(newest).select_from(known)) if key is not None]
    with db.read() as conn:
        rows = conn.execute(sa.select(*COLUMNS).where(table.id.in_(ids))).all()
    return sorted((_shown(row, scope) for row in rows), key=lambda one: (one.repository, one.environment))


def list_rollbacks(db: Database, scope: Scope, limit: int, as_of: AsOf) -> Rollbacks:
    """Return the newest rollbacks, newest first."""
    table, failed = deployments.c, deployments.alias("failed")
    wrong = sa.func.coalesce(failed.c.failed_at, failed.c.deployed_at)
    undone = sa.func.coalesce(table.blamed_id, table.previous_id)
    where = (UNDOING, *_where(scope, Filter()))
    newest_first = (table.deployed_at.desc(), table.id.desc())
    # Chosen by themselves: beside another table the words of the index would be ambiguous.
    newest = sa.select(table.id).where(*where).order_by(*newest_first).limit(limit).correlate(None)
    query: Query = (
        sa.select(table.id, table.repository_id, table.environment, KIND, failed.c.sha.label("failed_sha"))
        .add_columns(wrong.label("failed_at"), table.sha, table.deployed_at, table.url)
        .select_from(deployments.outerjoin(failed, failed.c.id == undone))
        .where(table.id.in_(newest))
        .order_by(*newest_first)
    )
    rows, total = db.heavy(query), db.heavy(sa.select(sa.func.count()).select_from(deployments).where(*where))[0][0]
    # To go back by deploying an older commit again is told as a redeploy.
    found = [
        Rollback(row[0], scope.repositories[row[1]], row[2], "revert" if row[3] == "revert" else "redeploy", *row[4:])
        for row in rows
    ]
    return Rollbacks(found, total, as_of)


def _where(scope: Scope, wanted: Filter) -> list[Condition]:
    found: list[Condition] = [in_repositories(deployments.c.repository_id, scope.repositories)]
    for name in ("environment", "state"):
        if (value := getattr(wanted, name)) is not None:
            found.append(deployments.c[name].in_([value]))
    if wanted.kind is not None:
        found.append(_KIND.in_([wanted.kind]))
    if wanted.sha is not None:
        found += [deployments.c.sha >= wanted.sha.lower(), deployments.c.sha < wanted.sha.lower() + "g"]
    return found


def _shown(row: sa.Row[tuple[object, ...]], scope: Scope) -> Shown:
    values = row._mapping
    same = {name: values[name] for name in Shown.__slots__ if name in values and name != "evidence"}
    evidence = json.loads(values["evidence"] or "{}")
    return Shown(
        repository=scope.repositories[values["repository_id"]], commits=values["ahead_by"], evidence=evidence, **same
    )
