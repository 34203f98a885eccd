"""Runs, jobs and failures in columns in memory: what analytics counts, whatever it is filtered by.

A day's page is kept while nothing of its runs has changed (store.days). It comes from the stored ones, or from rows.
"""

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import sqlalchemy as sa

from pipemon.queries.aside import aside
from pipemon.queries.chosen import Block, Filter
from pipemon.queries.kept import Kept
from pipemon.queries.pages import FORMAT, PARTS, WORDS, Arrays, Page, from_bytes, make
from pipemon.queries.rows import Words
from pipemon.queries.scope import Scope, workflows_called, workflows_like
from pipemon.store import days as store
from pipemon.store.days import DAY, Mark
from pipemon.store.engine import Database

# Days whose arrays are joined: an answer about two years then goes over two dozen of them.
BLOCK_DAYS = 30
BLOCK_SECONDS = BLOCK_DAYS * DAY
END = 2**40
# So many bytes of each part are kept; what was not asked for the longest goes first.
MOST_BYTES = 256 * 1024 * 1024
# And so much of what was made of them: an answer about two years then looks at those days alone that have changed.
MOST_MADE_BYTES = 64 * 1024 * 1024
# And of what was worked out of plain data that comes again: what a run's jobs held up, where a series shifts.
MOST_PLAIN_BYTES = 16 * 1024 * 1024
# Of so many windows it is remembered whether anything has changed since.
MOST_SPANS = 256
# The same words stand in several columns.
SAME_WORDS = {"first": "conclusion"}


Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Block:
    """Thirty days, joined; `days` are views into the arrays, each as it was at a version."""

    number: int
    days: Mapping[int, tuple[Version, Arrays]]
    arrays: Arrays

    def versions(self) -> dict[int, Version]:
        return {day: version for day, (version, _) in self.days.items()}

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())


class Columns:
    """The columns of one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one greenlet at a time reads pages; never taken by a native thread
        self.words: dict[str, Words] = {}
        for part in PARTS.values():
            for name in (name for name, kind in part.columns.items() if kind in WORDS):
                self.words[name] = self.words.setdefault(SAME_WORDS.get(name, name), Words())
        self._blocks: dict[str, dict[int, _Block]] = {part: {} for part in PARTS}
        self.kept, self.plain = Kept(MOST_MADE_BYTES), Kept(MOST_PLAIN_BYTES)
        self._made = count()
        self._states: dict[tuple[str, int, int], tuple[tuple[Any, ...], list[int]]] = {}

    def blocks(self, db: Database, part: str, begin: int, end: int) -> list[Block]:
        """Return the rows of the part that hold all that was created in [begin, end), by thirty days, in order."""
        first, last = begin // BLOCK_SECONDS * BLOCK_DAYS, -(-end // BLOCK_SECONDS) * BLOCK_DAYS
        span = (part, first, last)
        with self._lock:
            state = db.heavy(store.state(first, last + 1))[0]
            before, numbers = self._states.get(span, (None, []))
            kept = self._blocks[part]
            if state == before and all(number in kept for number in numbers):
                kept |= {number: kept.pop(number) for number in numbers}  # the last to go, now
                return [Block(kept[number].number, kept[number].arrays) for number in numbers]
            marks = {row[0]: Mark(*row) for row in db.heavy(store.marks(first, last + 1))}
            touched = {day: mark.touched for day, mark in marks.items()}
            marks.pop(last, None)
            versions: dict[int, dict[int, Version]] = {}
            for day, mark in marks.items():
                # Which jobs a newer run has superseded is known from the day after, too.
                following = touched.get(day + 1, 0) if PARTS[part].heads else 0
                versions.setdefault(day // BLOCK_DAYS, {})[day] = (mark.touched, following)
            self._bring(db, part, marks, versions)
            if len(self._states) > MOST_SPANS:
                self._states.clear()
            self._states[span] = (state, list(versions))
            return [Block(kept[number].number, kept[number].arrays) for number in versions]

    def _bring(
        self, db: Database, part: str, marks: Mapping[int, Mark], versions: Mapping[int, Mapping[int, Version]]
    ) -> None:
        """Bring the blocks to these versions."""
        kept, stale = self._blocks[part], []
        for number, wanted in versions.items():
            if (old := kept.pop(number, None)) is not None:
                kept[number] = old  # the last to go, now
            known = {} if old is None else old.versions()
            if old is None or known != wanted:
                stale.append((number, [day for day, version in wanted.items() if known.get(day) != version]))
        for number, days in stale:
            found = self._pages(db, part, [marks[day] for day in days], versions[number])
            whole = {
                day: (version, found[day] if day in found else kept[number].days[day][1])
                for day, version in versions[number].items()
            }
            kept[number] = aside(_join, next(self._made), whole)
        self._drop(part, set(versions))

    def _pages(
        self, db: Database, part: str, wanted: Sequence[Mark], versions: Mapping[int, Version]
    ) -> dict[int, Arrays]:
        """Return the pages of these days: the stored ones that hold, the others from the rows."""
        follows = bool(PARTS[part].heads)
        holds = {
            mark.day
            for mark in wanted
            if (mark.sealed, mark.following if follows else 0, mark.format) == (*versions[mark.day], FORMAT)
        }
        rows = db.heavy(store.bodies(part, holds)) if holds else []
        bodies = {day: body for day, sealed, body in rows if sealed == versions[day][0]}
        found = aside(_stored, bodies, self.words) if bodies else {}
        for day in (mark.day for mark in wanted if mark.day not in found):
            found[day] = aside(_made, part, db.heavy(PARTS[part].select(day)), self.words)
        return found

    def _drop(self, part: str, in_use: set[int]) -> None:
        """Keep no more than MOST_BYTES, beside what is in use."""
        kept = self._blocks[part]
        size = sum(block.nbytes for block in kept.values())
        for number in [number for number in kept if number not in in_use]:
            if size <= MOST_BYTES:
                return
            size -= kept.pop(number).nbytes

    def filter(self, db: Database, scope: Scope) -> Filter:
        """Return the scope in codes. It has no filter but those of analytics."""
        known = self.words["workflow_id"]
        left_out = _ids(db, workflows_like(scope.exclude_workflows)) if scope.exclude_workflows else set()
        called = None if scope.workflow is None else _ids(db, workflows_called(scope.workflow))
        return Filter(
            scope.created_from or 0,
            END if scope.created_to is None else scope.created_to,
            self.words["repository_id"].which(lambda one: one in scope.repositories),
            known.which(lambda one: one not in left_out and (called is None or one in called)),
            None if scope.branch is None else self.words["branch"].find(scope.branch),
            None if scope.event is None else self.words["event"].find(scope.event),
            scope.pull_requests,
        )


_KEPT: WeakKeyDictionary[Database, Columns] = WeakKeyDictionary()


def columns_of(db: Database) -> Columns:
    """Return the columns of this database; they live as long as it does."""
    return _KEPT.setdefault(db, Columns())


def _ids(db: Database, query: sa.Select[Any]) -> set[int]:
    return {row[0] for row in db.heavy(query)}


def _stored(bodies: Mapping[int, bytes], words: Mapping[str, Words]) -> dict[int, Arrays]:
    """Return the stored pages; one that is damaged is left out, and so made anew from the rows."""
    found = {}
    for day, body in bodies.items():
        try:
            found[day] = _adopted(from_bytes(body), words)
        except (zlib.error, ValueError, KeyError, TypeError, IndexError):
            continue
    return found


def _made(part: str, rows: Sequence[tuple[Any, ...]], words: Mapping[str, Words]) -> Arrays:
    return _adopted(make(part, rows), words)


def _adopted(page: Page, words: Mapping[str, Words]) -> Arrays:
    """Return the page's arrays, with codes that are the same on all days."""
    codes = {name: np.array([words[name].code(one) for one in own], "i4") for name, own in page.words.items()}
    return {name: codes[name][array] if name in codes else array for name, array in page.arrays.items()}


def _join(number: int, days: Mapping[int, tuple[Version, Arrays]]) -> _Block:
    pages = [arrays for _, arrays in days.values()]
    arrays = {name: np.concatenate([page[name] for page in pages]) for name in pages[0]} if pages else {}
    views: dict[int, tuple[Version, Arrays]] = {}
    ends = dict.fromkeys(arrays, 0)
    heads = 0
    for day, (version, page) in days.items():
        begins = dict(ends)
        ends = {name: begin + len(page[name]) for name, begin in begins.items()}
        if "head" in page:
            own = arrays["head"][begins["head"] : ends["head"]]
            own += heads - (int(page["head"][0]) if len(page["head"]) else 0)
            heads += len(page["id"])
        views[day] = (version, {name: arrays[name][begins[name] : ends[name]] for name in arrays})
    return _Block(number, views, arrays)
