"""The newest runs of a scope, found in columns: an index by time can't know what else is asked for."""

from collections.abc import Callable

import numpy as np

from pipemon.queries.look import Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Scope


def newest(db: Source, scope: Scope, is_wanted: Callable[[str | None], bool], most: int) -> list[int]:
    """Return the ids of the newest completed runs that ended so, by `created_at`, at most so many."""
    return over(db, "runs", scope, _last, is_wanted, most)


def _last(rows: Rows, is_wanted: Callable[[str | None], bool], most: int) -> list[int]:
    found: list[int] = []
    for part in reversed(rows.parts):
        wanted = np.flatnonzero((part["completed"] == 1) & part.has("conclusion", is_wanted))
        found += part["id"][wanted[-(most - len(found)) :]][::-1].tolist()
        if len(found) >= most:
            break
    return found
