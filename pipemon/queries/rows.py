"""Rows in columns, of a scope: what analytics counts is an array, and what it is filtered by are codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipemon.analytics.arrays import dense
from pipemon.queries.pages import PARTS, Array, Arrays

# What is kept once for all rows of a run.
OF_HEADS = frozenset([*list(PARTS["jobs"].columns)[: PARTS["jobs"].heads], "single"])


class Words:
    """What codes stand for. They only ever grow, so a code that was given holds."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._codes: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        """Return a word's code; a new one where it has none."""
        found = self._codes.get(value)
        if found is None:
            found = self._codes[value] = len(self.values)
            self.values.append(value)
        return found

    def find(self, value: Any) -> int:
        """Return a word's code; -1 where it has none."""
        return self._codes.get(value, -1)

    def which(self, is_wanted: Callable[[Any], bool]) -> Array:
        """Return for each code whether its word is wanted."""
        return np.array([is_wanted(value) for value in self.values], bool)


class Rows:
    """Some rows: `rows["branch"]` is an array; those of words hold codes, of which `words["branch"]` tells the words.

    Rows that belong to runs (`heads`) have their columns too, and `rows["head"]` is the place of their run.
    """

    def __init__(
        self, count: int, words: Mapping[str, Words], read: Callable[[str], Array], heads: "Rows | None" = None
    ) -> None:
        self.count = count
        self.words = words
        self.heads = heads
        self._read = read
        self._known: dict[str, Array] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Array:
        found = self._known.get(name)
        if found is None:
            of_run = self.heads is not None and name in OF_HEADS
            found = self.heads[name][self["head"]] if self.heads is not None and of_run else self._read(name)
            self._known[name] = found
        return found

    def where(self, wanted: Array) -> "Rows":
        """Return those of which the array is true."""
        places = np.flatnonzero(wanted)
        if len(places) == self.count:
            return self
        return Rows(len(places), self.words, lambda name: self[name][places], self.heads)

    def has(self, name: str, is_wanted: Callable[[Any], bool]) -> Array:
        """Return for each row whether its word in this column is wanted."""
        found: Array = self.words[name].which(is_wanted)[self[name]]
        return found

    def word(self, name: str, code: int) -> Any:
        """Return what a code of this column stands for; of a column of numbers, the number."""
        return self.words[name].values[code] if name in self.words else code

    def keyed(self, *names: str) -> tuple[Array, list[tuple[Any, ...]]]:
        """Return the rows' groups by these columns, numbered from 0, and the values of each group."""
        key, values = np.zeros(self.count, "i8"), [()] if self.count else []
        if self.heads is not None and (of_run := [name for name in names if name in OF_HEADS]):
            key, values = self.heads.keyed(*of_run)
            key, names = key[self["head"]], (*of_run, *(name for name in names if name not in of_run))
        found: list[tuple[Any, ...]] = list(values)
        for name in names[len(found[0]) if found else 0 :]:
            codes, present = dense(self[name])
            key, kept = dense(key * len(present) + codes)
            pairs = (divmod(int(one), len(present)) for one in kept)
            found = [(*found[before], self.word(name, int(present[code]))) for before, code in pairs]
        return key, found


@dataclass(frozen=True, slots=True)
class Filter:
    """A scope in codes; None filters nothing. `repositories` and `workflows` tell by code what is in it."""

    begin: int
    end: int
    repositories: Array
    workflows: Array
    branch: int | None
    event: int | None
    pull_requests: bool

    def places(self, block: Arrays) -> slice | Array:
        """Return where the runs of a block are that are in the scope. They are sorted by `created_at`."""
        first, last = np.searchsorted(block["created_at"], (self.begin, self.end))
        span = slice(int(first), int(last))
        wanted: list[Array] = [
            of_code[block[name][span]]
            for name, of_code in (("repository_id", self.repositories), ("workflow_id", self.workflows))
            if not of_code.all()
        ]
        wanted += [
            block[name][span] == code
            for name, code in (("branch", self.branch), ("event", self.event))
            if code is not None
        ]
        if not self.pull_requests:
            wanted.append(block["pull_request"][span] == 0)
        found = np.flatnonzero(np.logical_and.reduce(wanted)) if wanted else None
        return span if found is None or len(found) == span.stop - span.start else found + span.start


def chosen(part: str, blocks: Sequence[Arrays], wanted: Filter, words: Mapping[str, Words]) -> Rows:
    """Return the rows of the blocks that are in the scope. Pure: it runs in a native thread."""
    places = [wanted.places(block) for block in blocks]
    counts = [one.stop - one.start if isinstance(one, slice) else len(one) for one in places]
    heads = _joined(blocks, places, sum(counts), words)
    if not PARTS[part].heads:
        return heads
    found = [_of_heads(block["head"], place) for block, place in zip(blocks, places, strict=True)]
    own = _joined(blocks, [rows for rows, _ in found], sum(len(head) for _, head in found), words)
    before = np.cumsum([0, *counts])
    head = np.concatenate([head + at for (_, head), at in zip(found, before, strict=False)] or [np.empty(0, "i8")])
    return Rows(len(head), words, lambda name: head if name == "head" else own[name], heads)


def _joined(blocks: Sequence[Arrays], places: Sequence[slice | Array], count: int, words: Mapping[str, Words]) -> Rows:
    def read(name: str) -> Array:
        return np.concatenate(
            [block[name][at] for block, at in zip(blocks, places, strict=True)] or [np.empty(0, "i4")]
        )

    return Rows(count, words, read)


def _of_heads(head: Array, places: slice | Array) -> tuple[slice | Array, Array]:
    """Return where the rows are of the runs at these places, and to which of those each belongs."""
    if isinstance(places, slice):
        first, last = (int(at) for at in np.searchsorted(head, (places.start, places.stop)))
        return slice(first, last), head[first:last] - places.start
    is_wanted = np.zeros(int(head[-1]) + 1 if len(head) else 0, bool)
    is_wanted[places] = True
    rows = np.flatnonzero(is_wanted[head])
    return rows, (np.cumsum(is_wanted) - 1)[head[rows]]
