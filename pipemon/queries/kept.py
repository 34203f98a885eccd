"""What was made of columns that have not changed since, and of other plain data that comes again."""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np

# After so many additions it is looked at how much is kept.
ADDITIONS = 50


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
        self._known[key] = (made, _size(key) + _size(made))
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
    if isinstance(made, (str, bytes)):
        return 50 + len(made)
    return 50 + (sum(map(_size, made)) if isinstance(made, (tuple, list)) else 0)


# Returns what is kept of some rows under this key, or keeps what the function makes.
Keeps: TypeAlias = Callable[[tuple[Any, ...], Callable[[], Any]], Any]
