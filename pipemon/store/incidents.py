"""The table of red streaks, moved with the runs: of each touched line, only the stretch that can have changed.

A line is a workflow on a branch, the runs of pull requests apart. Its order is that of run number and attempt, whatever
came first (METRICS: "Incidents and recovery").
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.domain.runs import DECISIVE, Run
from pipemon.store import days
from pipemon.store.schema import attempts, runs
from pipemon.store.schema_rollups import incidents
from pipemon.store.upsert import upsert
from pipemon.turns import Stretch

AT_ONCE = 200
PLACE = (runs.c.run_number, attempts.c.run_attempt, runs.c.id)

ENDED_AT = sa.func.coalesce(attempts.c.completed_at, attempts.c.updated_at)
OF_PULL_REQUEST = sa.func.coalesce(runs.c.event, "").startswith("pull_request")


class Line(NamedTuple):
    """What the attempts of one line have in common."""

    repository_id: int
    workflow_id: int
    branch: str | None
    pull_request: bool


class Tried(NamedTuple):
    """A decisive attempt. Its place in the line is (run_number, run_attempt, run_id)."""

    run_number: int
    run_attempt: int
    run_id: int
    ended_at: int
    red: bool
    event: str | None


@dataclass(slots=True)
class _Walk:
    """How far a line was followed: the rows found, the one that is open, and the run before."""

    line: Line
    found: list[dict[str, Any]]
    open: dict[str, Any] | None = None
    before: int | None = None
    number: int | None = None  # of the last attempt seen

    def take(self, one: Tried) -> None:
        if one.red and self.open is None:
            self.open = _opened(self.line, one, self.before)
            self.found.append(self.open)
        elif one.red and self.open is not None:
            self.open |= {"failures": self.open["failures"] + 1, "last_number": one.run_number}
        elif self.open is not None:
            end = {"recovered_at": one.ended_at, "recovered_by": one.run_id, "recovered_number": one.run_number}
            self.open |= end
            self.open = None
        self.before, self.number = one.run_id, one.run_number


def _opened(line: Line, one: Tried, before: int | None) -> dict[str, Any]:
    return {
        **line._asdict(),
        "run_id": one.run_id,
        "run_attempt": one.run_attempt,
        "run_number": one.run_number,
        "event": one.event,
        "opened_at": one.ended_at,
        "failures": 1,
        "last_number": one.run_number,
        "last_green": before,
        "recovered_at": None,
        "recovered_by": None,
        "recovered_number": None,
    }


def follow(conn: Connection, repository_id: int, touched: Iterable[Run]) -> None:
    """Bring the incidents up to what is stored of the lines that these runs belong, or belonged, to."""
    lines: dict[Line, set[int]] = {}
    for run in touched:
        of_pull_request = (run.event or "").startswith("pull_request")
        lines.setdefault(Line(repository_id, run.workflow_id, run.branch, of_pull_request), set()).add(run.run_number)
    moments: list[int] = []
    stretch = Stretch()
    for line, numbers in lines.items():
        done: int | None = -1
        for number in sorted(numbers):
            # Also the run at which the walk before it ended: that one's end is new itself.
            if done is not None and number >= done:
                done, moved = _redo(conn, line, number)
                moments += moved
                stretch.rest()
    days.touch(conn, moments)


def _redo(conn: Connection, line: Line, number: int) -> tuple[int | None, list[int]]:
    """Work out a line anew where the run with this number can have changed it.

    It goes on to the first run after it that ended well: from there on nothing depends on what was before. Returns
    that one's number, None at the line's end; and when those incidents opened that are not what they were.
    """
    walk, start = _begin(conn, line, number)
    end: int | None = None
    for one in _tried(conn, line, start):
        if walk.number not in (None, one.run_number) and walk.open is None and (walk.number or 0) > number:
            end = walk.number
            break
        walk.take(one)
    first = walk.found[0]["run_number"] if walk.found else start
    return end, _replace(conn, line, (min(start, first), end), walk.found)


def _begin(conn: Connection, line: Line, number: int) -> tuple[_Walk, int]:
    """Return a walk that stands before the run of this number, or where the streak that reaches it began."""
    row = conn.execute(_last_before(line.branch is None), {**line._asdict(), "number": number}).first()
    if row is None or (row.recovered_number is not None and row.recovered_number < number):
        return _Walk(line, [], before=_before(conn, line, number)), number
    if row.last_number >= number:
        # From that run's first attempt on: the one that opened it need not be that.
        return _Walk(line, [], before=_before(conn, line, row.run_number)), row.run_number
    # All its failures so far lie before: it need not be counted again.
    now = dict(row._mapping) | {"recovered_at": None, "recovered_by": None, "recovered_number": None}
    return _Walk(line, [now], open=now, before=row.run_id), number


def _before(conn: Connection, line: Line, number: int) -> int | None:
    found = conn.execute(_tried_before(line.branch is None, line.pull_request), {**line._asdict(), "number": number})
    row = found.first()
    return None if row is None else row.run_id


def _tried(conn: Connection, line: Line, start: int) -> Iterator[Tried]:
    """Yield the line's decisive attempts from this run number on, read a few at a time."""
    last, is_more = (start, 0, 0), True
    while is_more:
        place = dict(zip(("number", "attempt", "run_id"), last, strict=True))
        rows = conn.execute(_tried_from(line.branch is None, line.pull_request), {**line._asdict(), **place}).all()
        found = [Tried(*row) for row in rows]
        yield from found
        is_more = len(found) == AT_ONCE
        last = found[-1][:3] if found else last


# Statements are made once: that takes longer than to run them.
@lru_cache
def _last_before(no_branch: bool) -> sa.Select[Any]:
    query = sa.select(incidents).where(*_on(no_branch), incidents.c.run_number < sa.bindparam("number"))
    return query.order_by(incidents.c.run_number.desc(), incidents.c.run_attempt.desc()).limit(1)


@lru_cache
def _opened_from(no_branch: bool) -> sa.Select[Any]:
    return sa.select(incidents).where(*_on(no_branch), incidents.c.run_number >= sa.bindparam("number"))


@lru_cache
def _opened_within(no_branch: bool) -> sa.Select[Any]:
    return _opened_from(no_branch).where(incidents.c.run_number <= sa.bindparam("end"))


@lru_cache
def _tried_before(no_branch: bool, pull_request: bool) -> sa.Select[Any]:
    query = _decided(no_branch, pull_request).where(runs.c.run_number < sa.bindparam("number"))
    return query.order_by(*(column.desc() for column in PLACE)).limit(1)


@lru_cache
def _tried_from(no_branch: bool, pull_request: bool) -> sa.Select[Any]:
    last = [sa.bindparam(name, type_=sa.BigInteger) for name in ("number", "attempt", "run_id")]
    # The first condition says nothing new; the index begins with it.
    after = (runs.c.run_number >= last[0], sa.tuple_(*PLACE) > sa.tuple_(*last))
    return _decided(no_branch, pull_request).where(*after).order_by(*PLACE).limit(AT_ONCE)


def _decided(no_branch: bool, pull_request: bool) -> sa.Select[Any]:
    red = (attempts.c.conclusion != "success").label("red")
    columns = (runs.c.run_number, attempts.c.run_attempt, runs.c.id.label("run_id"), ENDED_AT, red, runs.c.event)
    of_pull_request = OF_PULL_REQUEST if pull_request else sa.not_(OF_PULL_REQUEST)
    return (
        sa.select(*columns)
        .join_from(runs, attempts, attempts.c.run_id == runs.c.id)
        .where(
            runs.c.repository_id + 0 == sa.bindparam("repository_id"),
            runs.c.workflow_id == sa.bindparam("workflow_id"),
            runs.c.branch.is_(None) if no_branch else runs.c.branch == sa.bindparam("branch"),
            of_pull_request,
            runs.c.deleted_at.is_(None),
            attempts.c.status == "completed",
            attempts.c.conclusion.in_(sorted(DECISIVE)),
        )
    )


def _on(no_branch: bool) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        incidents.c.repository_id == sa.bindparam("repository_id"),
        incidents.c.workflow_id == sa.bindparam("workflow_id"),
        incidents.c.branch.is_(None) if no_branch else incidents.c.branch == sa.bindparam("branch"),
        incidents.c.pull_request == sa.bindparam("pull_request"),
    )


def _replace(conn: Connection, line: Line, span: tuple[int, int | None], found: Sequence[dict[str, Any]]) -> list[int]:
    """Let the line's incidents that opened within the span be these; return when those opened that have changed."""
    start, end = span
    query = _opened_from(line.branch is None)
    if end is not None:
        query = _opened_within(line.branch is None)
    place = {**line._asdict(), "number": start} | ({} if end is None else {"end": end})
    old = {(row.run_id, row.run_attempt): dict(row._mapping) for row in conn.execute(query, place)}
    new = {(one["run_id"], one["run_attempt"]): one for one in found}
    for run_id, run_attempt in old.keys() - new.keys():
        key = (incidents.c.run_id == run_id, incidents.c.run_attempt == run_attempt)
        conn.execute(sa.delete(incidents).where(*key))
    changed = [one for key, one in new.items() if old.get(key) != one]
    upsert(conn, incidents, changed)
    gone = [one for key, one in old.items() if new.get(key) != one]
    return [one["opened_at"] for one in (*gone, *changed)]
