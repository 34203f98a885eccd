"""What was made of columns that have not changed since, and of other plain data that comes again."""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np

# After so many additions, or the 16th part of what may be kept, it is looked at how much is.
ADDITIONS = 50


class Kept:
    """What was made of whole blocks, filter by filter, or of plain data; a key tells all that it was made of.

    It is asked in native threads, where a dictionary needs no lock: at the worst something is made twice.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._additions = count(1)
        self._added = 0
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
        """Keep it under this key, unless it alone is half of what may be; what was not asked for the longest goes."""
        size = _size(key) + _size(made)
        if size > self._most // 2:
            return
        self._known[key] = (made, size)
        self._added += size
        if next(self._additions) % ADDITIONS == 0 or self._added > self._most // 16:
            self._added = 0
            self._shrink()

    def _shrink(self) -> None:
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
