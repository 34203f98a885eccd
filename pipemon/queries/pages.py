"""What a day is in columns: the SELECT of each part, the arrays that its rows make, and how those are kept as bytes.

A number that is not known is -1. A text is the place of it in the part's list of words.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from pipemon.analytics.bottlenecks import first_failed
from pipemon.domain.runs import FAILED, STAMP_SLACK_SECONDS
from pipemon.queries import verdicts
from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import COMPLETED, HAS_FAILED, OF_PULL_REQUEST, Query
from pipemon.store.days import DAY
from pipemon.store.schema import attempts, jobs, runs
from pipemon.store.schema_failures import failures
from pipemon.store.schema_rollups import incidents

# Another one takes all stored pages out of use: to be raised with every change of what is in them.
FORMAT = 2

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
Rows: TypeAlias = Sequence[tuple[Any, ...]]

# The kinds of columns that hold codes of words.
WORDS = ("word", "step")

# What every part tells of the runs, so that one filter serves for all.
OF_RUN = {
    "repository_id": "word",
    "workflow_id": "word",
    "branch": "word",
    "event": "word",
    "pull_request": "i1",
    "created_at": "i8",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of row. `columns`: name -> type of number, "word", "sha" (the first 8 bytes of a hash of it),
    or "step" (of a job's steps the first that failed, as a word).

    `heads`: so many of the first columns are of the run, and kept once for all its rows; 0: of each row. Of those, two
    more arrays are made: `head`, to which run a row belongs, and `single`. The first column after them is the name.
    """

    select: Callable[[int], Query]
    columns: Mapping[str, str]
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of one day: its arrays, and what the codes in those of words stand for."""

    arrays: Arrays
    words: Mapping[str, list[Any]] = field(default_factory=dict)


def _created(day: int) -> tuple[sa.ColumnElement[bool], ...]:
    return runs.c.created_at >= day * DAY, runs.c.created_at < (day + 1) * DAY, runs.c.deleted_at.is_(None)


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((condition, 1), else_=0)


_RUN = (
    runs.c.repository_id,
    runs.c.workflow_id,
    runs.c.branch,
    runs.c.event,
    _flag(OF_PULL_REQUEST),
    runs.c.created_at,
)


def _runs(day: int) -> Query:
    once = runs.c.run_attempt == 1
    first = sa.case((once, runs.c.conclusion), else_=attempts.c.conclusion)
    is_seen = _flag(sa.or_(once, attempts.c.run_id.is_not(None)))
    own = (runs.c.conclusion, first, is_seen, runs.c.duration_seconds, runs.c.queue_seconds, runs.c.completed_at)
    of_first = sa.and_(attempts.c.run_id == runs.c.id, attempts.c.run_attempt == 1)
    query: Query = (
        sa.select(*_RUN, runs.c.id, AUTHOR, _flag(COMPLETED), *own)
        .outerjoin_from(runs, attempts, of_first)
        .where(*_created(day))
        .order_by(runs.c.created_at, runs.c.id)
    )
    return query


def _jobs(day: int) -> Query:
    failed, waited = _flag(sa.and_(COMPLETED, HAS_FAILED)), jobs.c.started_at - jobs.c.created_at
    waits = sa.case(
        (sa.not_(verdicts.HAS_BEGUN), verdicts.NOT_COUNTED),
        (waited.is_(None), verdicts.UNKNOWN),
        (waited < -STAMP_SLACK_SECONDS, verdicts.COPIED),
        (waited < 0, 0),
        else_=waited,
    )
    lasted = jobs.c.completed_at - jobs.c.started_at
    took = sa.case((lasted < 0, 0), else_=lasted)
    minutes = sa.case((verdicts.IS_BILLED, (lasted + 59) // 60), else_=-1)
    purpose = sa.case((verdicts.IS_BILLED, verdicts.purpose()), else_=-1)
    latest = _flag(jobs.c.run_attempt == runs.c.run_attempt)
    query: Query = (
        sa.select(*_RUN, runs.c.id, runs.c.sha, failed)
        .add_columns(jobs.c.name, jobs.c.labels, jobs.c.created_at, latest, verdicts.outcome(), waits)
        .add_columns(took, minutes, purpose)
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .where(*_created(day))
        .order_by(runs.c.created_at, runs.c.id, jobs.c.id)
    )
    return query


def _failures(day: int) -> Query:
    state = sa.func.coalesce(failures.c.state, sa.literal_column("'not_asked'"))
    platform = _flag(sa.func.coalesce(failures.c.platform, sa.false()))
    is_last = sa.and_(COMPLETED, HAS_FAILED, jobs.c.run_attempt == runs.c.run_attempt)
    steps = sa.case((sa.and_(is_last, jobs.c.conclusion.in_(sorted(FAILED))), jobs.c.steps))
    query: Query = (
        sa.select(*_RUN, runs.c.id, jobs.c.id, jobs.c.name, failures.c.signature, state, platform)
        .add_columns(sa.func.coalesce(failures.c.completed_at, jobs.c.completed_at), _flag(COMPLETED), steps)
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .outerjoin(failures, failures.c.job_id == jobs.c.id)
        .where(*_created(day), sa.or_(jobs.c.conclusion.in_(sorted(FAILED)), failures.c.job_id.is_not(None)))
        .order_by(runs.c.created_at, runs.c.id, jobs.c.id)
    )
    return query


def _incidents(day: int) -> Query:
    table = incidents.c
    columns = (table.repository_id, table.workflow_id, table.branch, table.event, _flag(table.pull_request))
    query: Query = sa.select(*columns, table.opened_at, table.run_id, table.recovered_at)
    opened = (table.opened_at >= day * DAY, table.opened_at < (day + 1) * DAY)
    return query.where(*opened).order_by(table.opened_at, table.run_id)


PARTS: Mapping[str, Part] = {
    "runs": Part(
        _runs,
        {
            **OF_RUN, "id": "i8", "author": "word", "completed": "i1", "conclusion": "word", "first": "word",
            "first_seen": "i1", "duration_seconds": "i4", "queue_seconds": "i4", "completed_at": "i8",
        },
    ),
    "jobs": Part(
        _jobs,
        {
            **OF_RUN, "id": "i8", "sha": "sha", "failed": "i1",
            "name": "word", "labels": "word", "job_created_at": "i8", "latest": "i1", "outcome": "i1", "waited": "i4",
            "seconds": "i4", "minutes": "i4", "purpose": "i1",
        },
        heads=len(OF_RUN) + 3,
    ),
    "failures": Part(
        _failures,
        {
            **OF_RUN, "id": "i8", "job_id": "i8", "name": "word", "signature": "word", "state": "word",
            "platform": "i1", "failed_at": "i8", "completed": "i1", "step": "step",
        },
    ),
    # `created_at` is when an incident opened.
    "incidents": Part(_incidents, {**OF_RUN, "id": "i8", "recovered_at": "i8"}),
}  # fmt: skip


def make(part: str, rows: Rows) -> Page:
    """Return the page that a SELECT's rows make. Pure: it runs in a native thread."""
    columns, heads = PARTS[part].columns, PARTS[part].heads
    arrays: dict[str, Array] = {}
    words: dict[str, list[Any]] = {}
    of_run = rows
    if heads:
        place = list(columns).index("id")
        ids = np.array([row[place] for row in rows], "i8")
        begins = np.flatnonzero(np.diff(ids, prepend=-1))
        arrays["head"] = (np.cumsum(np.bincount(begins, minlength=len(ids))) - 1).astype("i4")
        of_run = [rows[begin] for begin in map(int, begins)]
        arrays["single"] = _are_single(arrays["head"], [row[heads] for row in rows], len(begins))
    for place, (name, kind) in enumerate(columns.items()):
        values = [row[place] for row in (of_run if place < heads else rows)]
        if kind == "step":
            values = [None if text is None else first_failed(text) for text in values]
        if kind in WORDS:
            arrays[name], words[name] = _coded(values)
        elif kind == "sha":
            arrays[name] = np.array([_hash(value) for value in values], "i8")
        else:
            # A strange date makes more seconds than fit: then the most that do.
            most = np.iinfo(kind).max
            arrays[name] = np.array([-1 if value is None else min(value, most) for value in values], kind)
    return Page(arrays, words)


def _are_single(head: Array, names: Sequence[str], count: int) -> Array:
    """Return for each run whether it has one row of each name: it was not run again."""
    different = {*zip(head.tolist(), names, strict=True)}
    found = np.bincount([run for run, _ in different], minlength=count) if different else np.zeros(count, "i8")
    single: Array = (found == np.bincount(head, minlength=count)).astype("i1")
    return single


def _coded(values: Sequence[Any]) -> tuple[Array, list[Any]]:
    codes: dict[Any, int] = {}
    return np.array([codes.setdefault(value, len(codes)) for value in values], "i4"), list(codes)


def _hash(sha: str | None) -> int:
    """Return what stands for a commit; 0 where it is not known."""
    if sha is None:
        return 0
    return int.from_bytes(blake2b(sha.encode(), digest_size=8).digest(), "big", signed=True) or 1


def to_bytes(page: Page) -> bytes:
    """Return the page as it is stored: the length of a JSON object, the object, and the arrays behind it."""
    arrays = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in page.arrays.items()}
    columns = [[name, array.dtype.str, len(array)] for name, array in arrays.items()]
    head = json.dumps({"columns": columns, "words": page.words}).encode()
    return zlib.compress(b"".join([len(head).to_bytes(4, "big"), head, *(one.tobytes() for one in arrays.values())]))


def from_bytes(body: bytes) -> Page:
    """Return a stored page. Pure: it runs in a native thread."""
    content = zlib.decompress(body)
    at = 4 + int.from_bytes(content[:4], "big")
    head = json.loads(content[4:at])
    arrays = {}
    for name, kind, count in head["columns"]:
        arrays[name] = np.frombuffer(content, kind, count, at)
        at += arrays[name].nbytes
    return Page(arrays, head["words"])
