"""The marks that say whether what was made of a day's runs still holds, and the pages in which it is kept.

A change does not move a page, it takes it out of use, in the same transaction: so an answer is right at any moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from pipemon.store.schema import runs
from pipemon.store.schema_rollups import days, incidents, pages

DAY = 86400


def touch(conn: Connection, created: Iterable[int]) -> None:
    """Take what was made of the days out of use on which these moments lie: the `created_at` of changed runs."""
    rows = [{"day": day} for day in sorted({at // DAY for at in created})]
    if rows:
        insert = (postgresql if conn.dialect.name == "postgresql" else sqlite).insert(days).values(touched=1)
        again = {"touched": days.c.touched + 1}
        conn.execute(insert.on_conflict_do_update(index_elements=[days.c.day], set_=again), rows)


def touch_run(conn: Connection, run_id: sa.ColumnElement[int] | int) -> None:
    """The same for one run, by its id."""
    touch(conn, conn.execute(sa.select(runs.c.created_at).where(runs.c.id == run_id)).scalars())


@dataclass(frozen=True, slots=True)
class Mark:
    """How often a day was touched, and how often it and the day after it had been when its pages were made."""

    day: int
    touched: int
    sealed: int | None
    following: int | None
    format: int


def marks(begin: int, end: int) -> sa.Select[tuple[int, int, int | None, int | None, int]]:
    """Select what makes the Mark of each day in [begin, end) that has one: without it there are no runs."""
    columns = (days.c.day, days.c.touched, days.c.sealed, days.c.following, days.c.format)
    return sa.select(*columns).where(days.c.day >= begin, days.c.day < end).order_by(days.c.day)


def state(begin: int, end: int) -> sa.Select[tuple[int, int]]:
    """Select what differs once anything on the days in [begin, end) was touched."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(days.c.touched), 0))
    return query.where(days.c.day >= begin, days.c.day < end)


def bodies(part: str, wanted: Iterable[int]) -> sa.Select[tuple[int, int | None, bytes]]:
    """Select (day, sealed, page) of the days; `sealed` says whether the page is the one that a Mark was read of."""
    query = sa.select(days.c.day, days.c.sealed, pages.c.body).join_from(days, pages, pages.c.day == days.c.day)
    return query.where(pages.c.part == part, days.c.day.in_(sorted(wanted)))


def seal(conn: Connection, mark: Mark, made: Mapping[str, bytes]) -> bool:
    """Store a day's pages, made since the mark was read (`following` is the next day's `touched` of then).

    Returns whether they are stored: not where the day has changed since.
    """
    ours = (days.c.day == mark.day, days.c.touched == mark.touched)
    values = {"sealed": mark.touched, "following": mark.following, "format": mark.format}
    if not conn.execute(sa.update(days).where(*ours).values(values)).rowcount:
        return False
    conn.execute(sa.delete(pages).where(pages.c.day == mark.day))
    rows: list[dict[str, Any]] = [{"day": mark.day, "part": part, "body": body} for part, body in made.items()]
    conn.execute(sa.insert(pages), rows)
    return True


def forget(conn: Connection) -> None:
    """Take all pages out of use, and mark every day that has something: also one that no mark was made of."""
    for moment in (runs.c.created_at, incidents.c.opened_at):
        day = moment // sa.literal_column(str(DAY))
        missing = sa.select(day, sa.literal_column("1")).where(day.not_in(sa.select(days.c.day))).distinct()
        conn.execute(sa.insert(days).from_select(["day", "touched"], missing))
    conn.execute(sa.update(days).values(touched=days.c.touched + 1, sealed=None))
