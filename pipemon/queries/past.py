"""Each environment's history of deployments: GitHub's own, or runs that stand in for them."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.sheets import Past, Sheet, pack, unpack
from pipemon.domain.deployments import UNDOES
from pipemon.queries.aside import aside
from pipemon.queries.look import Look, Source
from pipemon.queries.scope import Query, Scope, in_repositories, workflows_like
from pipemon.store.among import among
from pipemon.store.engine import Database
from pipemon.store.schema import runs
from pipemon.store.schema_deployments import deployments, sheets
from pipemon.store.sheets import HOLDS, MONTH, Packed

# So many successful deployments before the window are known to it: what a rollback goes back to, what was red before.
LOOK_BACK = 20
READABLE = ("ahead", "diverged", "behind", "identical")
WAITING = frozenset({"queued", "pending", "waiting"})
# As many sheets are packed at a stretch: some thousand deployments with all that is known of them.
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One environment; where the source is "workflow" it is one that deploys, and GitHub knows of no deployments."""

    repository_id: int
    environment: str
    source: str
    history: Sheet


class Key(NamedTuple):
    """Whose sheets they are."""

    repository_id: int
    environment: str
    source: str


def lines(db: Source, scope: Scope, from_at: int, to_at: int) -> list[Line]:
    """Return the environments of the scope's repositories, with what finished before `to_at`.

    Of what finished before `from_at`, only the newest is there: LOOK_BACK successes of each environment. What was
    joined of sheets that hold is kept.
    """
    look = Look.at(db)
    wanted = dict(_wanted(look.heavy(_known(scope, to_at)), from_at))
    found = {key: look.kept.find((key, own)) for key, own in wanted.items()}
    missing = {key: own for key, own in wanted.items() if found[key] is None}
    stored = look.heavy(_stored([one.id for own in missing.values() for one in own])) if missing else []
    parts = {number: (rows, leads) for number, rows, leads in stored if rows is not None}
    for number, made in packed(look.db, [number for number, rows, _ in stored if rows is None]):
        parts[number] = (made.rows, made.leads)
    for key, sheet in aside(_joined, missing, parts):
        found[key] = (sheet.rows, sheet.leads)
        if all(one.version is not None and one.id in parts for one in missing[key]):
            look.kept.keep((key, missing[key]), found[key])
    return aside(_lines, found, (from_at, to_at), _excluded(look.db, scope))


class Version(NamedTuple):
    """A sheet as it was at one time; None where it does not hold."""

    id: int
    version: int | None


def _known(scope: Scope, to_at: int) -> Query:
    table = sheets.c
    query: Query = (
        sa.select(table.id, table.repository_id, table.environment, table.source, table.month)
        .add_columns(sa.case((HOLDS, table.successes)), sa.case((HOLDS, table.touched)))
        .where(in_repositories(table.repository_id, scope.repositories), table.month * MONTH < to_at)
        .order_by(table.repository_id, table.environment, table.source, table.month)
    )
    return query


def _wanted(rows: Iterable[tuple[Any, ...]], from_at: int) -> Iterator[tuple[Key, tuple[Version, ...]]]:
    """Yield of each environment the sheets that reach back to its last LOOK_BACK successes before the window."""
    for key, own in groupby(rows, key=lambda row: row[1:4]):
        found, before = [], 0
        for number, _, _, _, month, successes, version in reversed(list(own)):
            if before < LOOK_BACK:
                found.append(Version(number, version))
                before += (successes or 0) if (month + 1) * MONTH <= from_at else 0
        yield Key(*key), tuple(found[::-1])


def _excluded(db: Database, scope: Scope) -> list[int]:
    """Return the workflows of which no run that stands in is in an answer."""
    return [key for (key,) in db.heavy(workflows_like(scope.exclude_workflows))] if scope.exclude_workflows else []


def _stored(ids: Collection[int]) -> Query:
    holds = sa.case((HOLDS, sheets.c.rows))
    query: Query = sa.select(sheets.c.id, holds, sheets.c.leads).where(among(sheets.c.id, ids))
    return query


def packed(db: Database, ids: Sequence[int]) -> Iterator[tuple[int, Packed]]:
    """Yield sheets as they are now, made from the deployments."""
    for place in range(0, len(ids), AT_ONCE):
        some = ids[place : place + AT_ONCE]
        found = dict(aside(_packed, db.heavy(_history(some))))
        yield from ((number, found.get(number, Packed(b"", b"", 0))) for number in some)


def _history(ids: Collection[int]) -> Query:
    """Select what is on these sheets, and what is needed to tell it: from the last success before each."""
    table, before, one = deployments.c, deployments.alias("before"), deployments.alias("one")
    line = (one.c[name] == sheets.c[name] for name in ("repository_id", "environment", "source"))
    since = (
        sa.select(one.c.finished_at)
        .where(*line, one.c.deployed_at.is_not(None), one.c.finished_at < sheets.c.month * MONTH)
        .order_by(one.c.finished_at.desc(), one.c.id.desc())
        .limit(1)
        .correlate(sheets)
        .scalar_subquery()
    )
    # Worked out once for each sheet, not for each deployment.
    names = ("id", "repository_id", "environment", "source", "month")
    begun = sa.select(*(sheets.c[name] for name in names), sa.func.coalesce(since, 0).label("since"))
    own = begun.where(among(sheets.c.id, ids)).cte("begun").prefix_with("MATERIALIZED")
    same = [table[name] == own.c[name] for name in names[1:4]]
    kind = sa.func.coalesce(table.overruled_kind, table.kind)
    undone = sa.func.coalesce(table.blamed_id, table.previous_id)
    told = runs.alias("told")
    # Of the runs of a commit all that tell its message tell the same.
    message = sa.select(sa.func.max(told.c.commit_message)).where(told.c.sha == table.sha).scalar_subquery()
    query: Query = (
        sa.select(own.c.id, own.c.month, table.id, table.sha, kind, table.overruled_kind, table.state)
        .add_columns(table.deployed_at, table.failed_at, table.statuses, undone)
        .add_columns(sa.case((table.compared_with == before.c.sha, table.comparison)), table.commits, message)
        .add_columns(runs.c.workflow_id)
        .join_from(own, deployments, sa.and_(*same))
        .outerjoin(before, before.c.id == table.previous_id)
        .outerjoin(runs, sa.and_(table.source == "workflow", runs.c.id == table.id))
        .where(table.finished_at >= own.c.since, table.finished_at < (own.c.month + 1) * MONTH, kind.is_not(None))
        .order_by(own.c.id)
    )
    return query


def _packed(rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, Packed]]:
    found = []
    for (key, month), own in groupby(rows, key=lambda row: row[:2]):
        sheet = pack([_past(row[2:]) for row in own], month * MONTH)
        successes = int(sheet.rows["deployed"].sum())
        found.append((key, Packed(sheet.rows.tobytes(), sheet.leads.tobytes(), successes)))
    return found


def _past(row: tuple[Any, ...]) -> Past:
    key, sha, kind, overruled, state, deployed_at, failed_at, statuses, undone, comparison, commits, message, own = row
    return Past(
        key, sha, kind, state, deployed_at, failed_at,
        started=deployed_at is not None or _started([one[1] for one in json.loads(statuses)]),
        overruled=overruled is not None,
        undoes=undone if kind in UNDOES else None,
        commits=(commits or "[]") if comparison in READABLE else None,
        message=message or "",
        unread=comparison is None,
        workflow_id=own,
    )  # fmt: skip


def _started(states: Sequence[str]) -> bool:
    """Whether a deployment began: one that waited, and then ended without having been in progress, has not.

    Who tells GitHub of nothing but the end is believed to have begun.
    """
    return "in_progress" in states or not WAITING.intersection(states)


def _joined(
    wanted: Mapping[Key, Sequence[Version]], parts: Mapping[int, tuple[bytes, bytes]]
) -> list[tuple[Key, Sheet]]:
    found = []
    for key, own in wanted.items():
        known = [parts[one.id] for one in own if one.id in parts]
        found.append((key, unpack((rows for rows, _ in known), (leads for _, leads in known))))
    return found


def _lines(joined: Mapping[Key, tuple[Any, Any]], window: tuple[int, int], excluded: Sequence[int]) -> list[Line]:
    found = []
    for key, arrays in joined.items():
        history = Sheet(*arrays)
        if excluded and key.source == "workflow":
            kept = ~np.isin(history.rows["workflow_id"], excluded)
            history = Sheet(history.rows[kept], history.leads[np.repeat(kept, history.rows["leads"])])
        if len(history := _cut(history, *window)):
            found.append(Line(*key, history))
    return found


def _cut(sheet: Sheet, from_at: int, to_at: int) -> Sheet:
    at = np.ascontiguousarray(sheet.rows["at"])
    before = np.flatnonzero(sheet.rows["deployed"][: np.searchsorted(at, from_at)])
    since = int(at[before[-LOOK_BACK]]) if len(before) >= LOOK_BACK else 0
    return sheet.between(*np.searchsorted(at, (since, to_at)).tolist())
