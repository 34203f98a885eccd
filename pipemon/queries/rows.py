"""Rows in columns, of a scope: what analytics counts is an array, and what it is filtered by are codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np

from pipemon.analytics.arrays import number, total
from pipemon.queries.pages import PARTS, Array, Arrays

P = ParamSpec("P")
T = TypeVar("T")

# After so many additions it is looked at how much is kept.
ADDITIONS = 50
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


@dataclass(frozen=True, slots=True)
class Block:
    """Thirty days of one part as they were at one time: another number, another state."""

    number: int
    arrays: Arrays


class Kept:
    """What was made of whole blocks, filter by filter: a block is replaced when any of its days changes.

    It is asked in native threads, where a dictionary needs no lock: at the worst something is made twice.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._additions = count()
        self._known: dict[tuple[Any, ...], tuple[Any, int]] = {}

    def get(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what is kept under this key; it is made where it is not."""
        if (found := self.find(key)) is None:
            self.keep(key, found := make())
        return found

    def find(self, key: tuple[Any, ...]) -> Any:
        """Return what is kept under this key; None where nothing is."""
        if (found := self._known.pop(key, None)) is None:
            return None
        self._known[key] = found  # the last to go, now
        return found[0]

    def keep(self, key: tuple[Any, ...], made: Any) -> None:
        """Keep it under this key; beyond so many bytes, what was not asked for the longest goes."""
        self._known[key] = (made, _size(made))
        if next(self._additions) % ADDITIONS:
            return
        kept = list(self._known.items())
        size = sum(own for _, (_, own) in kept)
        for oldest, (_, own) in kept:
            if size <= self._most:
                return
            self._known.pop(oldest, None)
            size -= own


def _size(made: Any) -> int:
    if isinstance(made, np.ndarray):
        return made.nbytes
    return 100 + (sum(map(_size, made)) if isinstance(made, (tuple, list)) else 0)


# Returns what is kept of some rows under this key, or keeps what the function makes.
Keeps: TypeAlias = Callable[[tuple[Any, ...], Callable[[], Any]], Any]


class Rows:
    """Some rows: `rows["branch"]` is an array; those of words hold codes, of which `words["branch"]` tells the words.

    Rows that belong to runs (`heads`) have their columns too, and `rows["head"]` is the place of their run. `parts` are
    the rows by thirty days: what is counted part by part stays in the processor's cache, and may be `kept`; `pieces`
    are the parts, those in the middle of a long window together. Nothing is looked for before it is needed.
    """

    def __init__(
        self,
        count: int | Callable[[], int],
        words: Mapping[str, Words],
        read: Callable[[str], Array],
        heads: "Rows | None" = None,
        parts: Sequence["Rows"] = (),
        kept: "Keeps | None" = None,
    ) -> None:
        self._count = count
        self.words = words
        self.heads = heads
        self.parts = parts or (self,)
        self.pieces: Sequence[Rows] = self.parts
        self.span = (0, 0)  # within which they were created, both ends included
        self._read = read
        self._kept = kept
        self._known: dict[str, Array] = {}

    def __len__(self) -> int:
        return self.count

    @property
    def count(self) -> int:
        """How many they are."""
        if not isinstance(self._count, int):
            self._count = self._count()
        return self._count

    def __getitem__(self, name: str) -> Array:
        found = self._known.get(name)
        if found is None:
            of_run = self.heads is not None and name in OF_HEADS
            found = self.heads[name][self["head"]] if self.heads is not None and of_run else self._read(name)
            self._known[name] = found
        return found

    def kept(self, function: Callable[Concatenate["Rows", P], T], *args: P.args, **named: P.kwargs) -> T:
        """Return what a pure function makes of the rows; of a whole block it is made once, and kept.

        The function is one of a module, or always another one; the arguments can be told apart by their values.
        """
        if self._kept is None:
            return function(self, *args, **named)
        found: T = self._kept((function, args, *named.items()), lambda: function(self, *args, **named))
        return found

    def adding(self, name: str, column: Array) -> "Rows":
        """Return the rows with another column; what is made of it is not kept."""
        self._known[name] = column
        self._kept = None
        return self

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

    def known(self, name: str) -> Array:
        """Return for each row whether it has a word in this column at all."""
        found: Array = self[name] != self.words[name].find(None)
        return found

    def word(self, name: str, code: int) -> Any:
        """Return what a code of this column stands for; of a column of numbers, the number."""
        return self.words[name].values[code] if name in self.words else code

    def keyed(self, *names: str) -> tuple[Array, list[tuple[Any, ...]]]:
        """Return the rows' groups by these columns, numbered from 0, and the values of each group."""
        key, codes = self._numbered(names)
        return key, self._values(names, codes)

    def grouped(
        self,
        names: Sequence[str],
        measured: Callable[Concatenate["Rows", P], "Measured"],
        *args: P.args,
        **no: P.kwargs,
    ) -> tuple[list[tuple[Any, ...]], list[Array]]:
        """Return the groups by these columns, and the sums of each.

        `measured` says of a part which of its rows count, and what is summed up of them; None: how many they are.
        """
        found = [part.kept(_sums, tuple(names), measured, args) for part in self.parts]
        key, codes = number([np.concatenate([one[0][place] for one in found]) for place in range(len(names))])
        sums = [np.concatenate([one[1][place] for one in found]) for place in range(len(found[0][1]))]
        return self._values(names, codes), [total(key, len(codes[0]), each) for each in sums]

    def _numbered(self, names: Sequence[str]) -> tuple[Array, list[Array]]:
        """Return the number of each row's group, and the codes of the groups by column."""
        of_run = [name for name in names if name in OF_HEADS] if self.heads is not None else []
        if self.heads is None or not of_run:
            return number([self[name] for name in names])
        key, known = self.heads._numbered(of_run)
        rest = [name for name in names if name not in of_run]
        key, codes = number([key[self["head"]], *(self[name] for name in rest)])
        by_name = dict(zip(rest, codes[1:], strict=True))
        by_name |= {name: own[codes[0]] for name, own in zip(of_run, known, strict=True)}
        return key, [by_name[name] for name in names]

    def _values(self, names: Sequence[str], codes: Sequence[Array]) -> list[tuple[Any, ...]]:
        columns = [[self.word(name, code) for code in own.tolist()] for name, own in zip(names, codes, strict=True)]
        return list(zip(*columns, strict=True))


# Which rows count, and what is summed up of them; None: how many they are.
Measured: TypeAlias = tuple[Rows, list[Array | None]]


def _sums(
    part: Rows, names: Sequence[str], measured: Callable[..., Measured], args: tuple[Any, ...]
) -> tuple[list[Array], list[Array]]:
    """Return the codes of the part's groups by column, and their sums."""
    some, measures = measured(part, *args)
    key, codes = some._numbered(names)
    size = len(codes[0])
    return codes, [np.bincount(key, weights=each, minlength=size) for each in measures]


def joined(parts: Sequence[Rows], words: Mapping[str, Words], kept: Keeps | None = None) -> Rows:
    """Return the rows of all parts together."""
    heads = [part.heads for part in parts if part.heads is not None]

    def read(name: str) -> Array:
        if name == "head":
            before = np.cumsum([0, *(len(each) for each in heads)])
            return np.concatenate([part[name] + at for part, at in zip(parts, before, strict=False)])
        return np.concatenate([part[name] for part in parts])

    of_runs = joined(heads, words) if heads else None
    return Rows(lambda: sum(map(len, parts)), words, read, of_runs, parts, kept)


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

    @property
    def key(self) -> tuple[Any, ...]:
        """What it is but for its window. A word that comes later makes another one only where it is wanted."""
        wanted = (self.repositories, self.workflows)
        codes = (None if of_code.all() else of_code.tobytes().rstrip(b"\0") for of_code in wanted)
        return (*codes, self.branch, self.event, self.pull_requests)

    def has_all(self, block: Arrays) -> bool:
        """Whether all of a block's runs are in the window."""
        created = block["created_at"]
        return len(created) > 0 and bool(self.begin <= created[0] and created[-1] < self.end)

    def span(self, block: Arrays) -> tuple[int, int]:
        """Return within which moments, both included, those of a block's runs lie that are in the window."""
        created = block["created_at"]
        return (max(self.begin, int(created[0])), min(self.end - 1, int(created[-1]))) if len(created) else (0, 0)

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


def chosen(part: str, blocks: Sequence[Block], wanted: Filter, words: Mapping[str, Words], kept: Kept) -> Rows:
    """Return the rows of the blocks that are in the scope. Pure: it runs in a native thread."""
    if not blocks:
        nothing: Array = np.empty(0, "i8")
        heads = Rows(0, words, lambda name: nothing) if PARTS[part].heads else None
        return Rows(0, words, lambda name: nothing, heads)
    are_whole = [wanted.has_all(block.arrays) for block in blocks]

    def keeps(first: int, last: int) -> Keeps | None:
        key = (part, *(block.number for block in blocks[first:last]), *wanted.key)
        return (lambda what, make: kept.get((*key, *what), make)) if all(are_whole[first:last]) else None

    parts = [_of_block(part, block, wanted, words, keeps(at, at + 1)) for at, block in enumerate(blocks)]
    for one, block in zip(parts, blocks, strict=True):
        one.span = wanted.span(block.arrays)
    rows = joined(parts, words)
    # The last one is today's, and changes all the time.
    if len(middle := [at for at, is_whole in enumerate(are_whole[:-1]) if is_whole]) > 1:
        first, last = middle[0], middle[-1] + 1
        rows.pieces = (*parts[:first], joined(parts[first:last], words, keeps(first, last)), *parts[last:])
    return rows


def _of_block(part: str, block: Block, wanted: Filter, words: Mapping[str, Words], kept: Keeps | None) -> Rows:
    arrays, places = block.arrays, cache(lambda: wanted.places(block.arrays))

    def count() -> int:
        found = places()
        return found.stop - found.start if isinstance(found, slice) else len(found)

    if not PARTS[part].heads:
        return Rows(count, words, lambda name: arrays[name][places()], kept=kept)
    runs_of, own = Rows(count, words, lambda name: arrays[name][places()]), cache(lambda: _of_heads(arrays, places()))
    return Rows(
        lambda: len(own()[1]), words, lambda name: own()[1] if name == "head" else arrays[name][own()[0]],
        runs_of, kept=kept,
    )  # fmt: skip


def _of_heads(block: Arrays, places: slice | Array) -> tuple[slice | Array, Array]:
    """Return where the rows are of the runs at these places, and to which of those each belongs."""
    head = block["head"]
    if isinstance(places, slice):
        first, last = (int(at) for at in np.searchsorted(head, (places.start, places.stop)))
        return slice(first, last), head[first:last] - places.start
    is_wanted = np.zeros(int(head[-1]) + 1 if len(head) else 0, bool)
    is_wanted[places] = True
    rows = np.flatnonzero(is_wanted[head])
    return rows, (np.cumsum(is_wanted) - 1)[head[rows]]
