"""Runs as lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Condition, Query, Scope, where
from pipemon.store.engine import Database
from pipemon.store.schema import runs

# The order of a list -> the columns it is sorted by; the id settles what is equal.
SORTS = {
    "started_at": runs.c.started_at,
    "created_at": runs.c.created_at,
    "updated_at": runs.c.updated_at,
    "duration": runs.c.duration_seconds,
    "queue": runs.c.queue_seconds,
    "run_number": runs.c.run_number,
}

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
    total = db.heavy(sa.select(sa.func.count()).select_from(runs).where(*conditions))[0][0]
    rows = db.heavy(_page_query(wanted, conditions))
    found = tuple(to_row(row, wanted.scope.repositories, as_of.timestamp) for row in rows)
    return Page(found, wanted.page, wanted.per_page, total, as_of)


def urls(db: Database, ids: Sequence[int]) -> dict[int, str]:
    """Return the pages on GitHub of these runs, by id."""
    with db.read() as conn:
        query = sa.select(runs.c.id, runs.c.url).where(runs.c.id.in_(ids), runs.c.url.is_not(None))
        return {key: url for key, url in conn.execute(query) if url is not None}


def _page_query(wanted: Wanted, conditions: Sequence[Condition]) -> Query:
    column = SORTS[wanted.sort.removeprefix("-")]
    falling = wanted.sort.startswith("-")
    order = [column.desc() if falling else column.asc(), runs.c.id.desc() if falling else runs.c.id.asc()]
    if column.nullable:
        # SQLite and PostgreSQL disagree on where NULL sorts; unknown comes last here.
        order[0] = order[0].nulls_last()
    query = sa.select(*_COLUMNS).where(*conditions).order_by(*order)
    return query.limit(wanted.per_page).offset((wanted.page - 1) * wanted.per_page)
