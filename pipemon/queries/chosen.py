"""Which rows of the columns are in a scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipemon.queries.kept import Keeps, Kept
from pipemon.queries.pages import PARTS, Array, Arrays
from pipemon.queries.rows import Rows, Words, joined


@dataclass(frozen=True, slots=True)
class Block:
    """Thirty days of one part as they were at one time: another number, another state."""

    number: int
    arrays: Arrays


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
        return len(created) == 0 or bool(self.begin <= created[0] and created[-1] < self.end)

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

    # The last one is today's, and changes all the time.
    each = [keeps(at, at + 1) for at in range(len(blocks) - 1)]
    parts = [_of_block(part, *one, wanted, words) for one in zip(blocks, [*each, None], strict=True)]
    for one, block in zip(parts, blocks, strict=True):
        one.span = wanted.span(block.arrays)
    rows = joined(parts, words)
    if len(middle := [at for at, is_whole in enumerate(are_whole[:-1]) if is_whole]) > 1:
        first, last = middle[0], middle[-1] + 1
        rows.pieces = (*parts[:first], joined(parts[first:last], words, keeps(first, last)), *parts[last:])
    return rows


def _of_block(part: str, block: Block, kept: Keeps | None, wanted: Filter, words: Mapping[str, Words]) -> Rows:
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
