"""What the sums over completed runs are made of: one SELECT per kind, the same for runs and for what is summed up.

Columns: `item` (a text), `pull_request`, then the measures of store.rollups. Kinds: end and first (how the latest, and
the first, attempt ended; empty: unknown), author, branch, workflow ("repository id/workflow id"), duration and queue
(seconds, as `pipemon.analytics.stats.rounded` rounds them).
"""

from typing import Any

import sqlalchemy as sa

from pipemon.analytics.stats import OCTAVES
from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import COMPLETED, HAS_FAILED, IS_DECISIVE, OF_PULL_REQUEST, SUCCEEDED, Condition, Query
from pipemon.store.schema import attempts, runs

KINDS = ("end", "first", "author", "branch", "workflow", "duration", "queue")
COLUMNS = ("item", "pull_request", "n", "good", "bad", "timed", "seconds", "low", "high")

_NOTHING = sa.null()
_DECISIVE_SECONDS = sa.case((IS_DECISIVE, runs.c.duration_seconds))
_OF = sa.cast(OF_PULL_REQUEST, sa.Boolean).label("pull_request")


def rounded(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Return the lower end of the seconds' bucket: as `stats.bucket` has it, by SQL."""
    steps = [(column < top, column // sa.literal_column(str(step)) * step) for top, step in OCTAVES]
    return sa.case(*steps, else_=column // OCTAVES[-1][1] * OCTAVES[-1][1])


def select(kind: str, conditions: list[Condition], start: sa.ColumnElement[Any]) -> Query:
    """Select the sums of a kind over the completed runs that meet the conditions, by `start` and item."""
    if kind == "first":
        return _first(conditions, start)
    item, found = _item(kind)
    more: list[Condition] = []
    if kind in ("duration", "queue"):
        more = [IS_DECISIVE, found.is_not(None)]
    elif kind in ("author", "branch"):
        more = [found.is_not(None)]
    seconds = found if kind in ("duration", "queue") else _DECISIVE_SECONDS
    # Grouped from outside: PostgreSQL takes two equal expressions with bound values for different ones.
    each = (
        sa.select(
            start.label("start"),
            item.label("item"),
            _OF,
            sa.case((SUCCEEDED, 1), else_=0).label("good"),
            sa.case((HAS_FAILED, 1), else_=0).label("bad"),
            seconds.label("seconds"),
        )
        .where(COMPLETED, *more, *conditions)
        .subquery()
    )
    keys = (each.c.start, each.c.item, each.c.pull_request)
    query: Query = sa.select(
        *keys,
        sa.func.count().label("n"),
        sa.func.sum(each.c.good).label("good"),
        sa.func.sum(each.c.bad).label("bad"),
        sa.func.count(each.c.seconds).label("timed"),
        sa.func.coalesce(sa.func.sum(each.c.seconds), 0).label("seconds"),
        sa.func.min(each.c.seconds).label("low"),
        sa.func.max(each.c.seconds).label("high"),
    )
    return query.group_by(*keys)


def _item(kind: str) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Return the item's text, and the column that must be known."""
    columns: dict[str, sa.ColumnElement[Any]] = {
        "end": runs.c.conclusion,
        "author": AUTHOR,
        "branch": runs.c.branch,
        "workflow": runs.c.workflow_id,
        "duration": runs.c.duration_seconds,
        "queue": runs.c.queue_seconds,
    }
    found = columns[kind]
    if kind == "end":
        return sa.func.coalesce(found, sa.literal_column("''")), found
    if kind == "workflow":
        slash: sa.ColumnElement[str] = sa.literal_column("'/'")
        return sa.cast(runs.c.repository_id, sa.Text).concat(slash).concat(sa.cast(found, sa.Text)), found
    return (sa.cast(rounded(found), sa.Text), found) if kind in ("duration", "queue") else (found, found)


def _first(conditions: list[Condition], start: sa.ColumnElement[Any]) -> Query:
    """Select how first attempts ended; one that was never seen is left out."""
    once: Query = sa.select(start.label("start"), runs.c.conclusion.label("end"), _OF)
    once = once.where(COMPLETED, runs.c.run_attempt == 1, *conditions)
    again = (
        sa.select(start.label("start"), attempts.c.conclusion.label("end"), _OF)
        .join_from(runs, attempts, sa.and_(attempts.c.run_id == runs.c.id, attempts.c.run_attempt == 1))
        .where(COMPLETED, runs.c.run_attempt > 1, *conditions)
    )
    both = sa.union_all(once, again).subquery()
    item = sa.func.coalesce(both.c.end, sa.literal_column("''"))
    zero: sa.ColumnElement[int] = sa.literal_column("0")
    sums = [sa.func.count().label("n"), *(zero.label(name) for name in ("good", "bad", "timed", "seconds"))]
    none = [sa.cast(_NOTHING, sa.Integer).label(name) for name in ("low", "high")]
    query: Query = sa.select(both.c.start, item.label("item"), both.c.pull_request, *sums, *none)
    return query.group_by(both.c.start, item, both.c.pull_request)
