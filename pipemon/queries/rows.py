"""Rows in columns, of a scope: what analytics counts is an array, and what it is filtered by are codes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np

from pipemon.analytics.arrays import number, total
from pipemon.queries.kept import Keeps
from pipemon.queries.pages import PARTS, Array

P = ParamSpec("P")
T = TypeVar("T")

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
        """Return the same rows with another column."""
        return Rows(self.count, self.words, lambda own: column if own == name else self[own], self.heads)

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
        codes, sums = _added([piece.kept(_sums, tuple(names), measured, args) for piece in self.pieces])
        return self._values(names, codes), sums

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
        words = [self.words[name].values if name in self.words else None for name in names]
        columns = (
            own.tolist() if known is None else [known[code] for code in own.tolist()]
            for known, own in zip(words, codes, strict=True)
        )  # fmt: skip
        return list(zip(*columns, strict=True))


# Which rows count, and what is summed up of them; None: how many they are.
Measured: TypeAlias = tuple[Rows, list[Array | None]]


# The codes of some groups by column, and their sums.
Sums: TypeAlias = tuple[list[Array], list[Array]]


def _sums(piece: Rows, names: Sequence[str], measured: Callable[..., Measured], args: tuple[Any, ...]) -> Sums:
    if len(piece.parts) > 1:
        return _added([part.kept(_sums, names, measured, args) for part in piece.parts])
    some, measures = measured(piece, *args)
    key, codes = some._numbered(names)
    size = len(codes[0])
    return codes, [np.bincount(key, weights=each, minlength=size) for each in measures]


def _added(found: Sequence[Sums]) -> Sums:
    columns, sums = (
        [np.concatenate(each) for each in zip(*(one[place] for one in found), strict=True)] for place in (0, 1)
    )
    key, codes = number(columns)
    return codes, [total(key, len(codes[0]), each) for each in sums]


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
