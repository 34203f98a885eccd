"""A database as one answer looks at it: what it asks of the columns, and of names, is read once."""

from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import sqlalchemy as sa

from pipemon.queries.aside import aside
from pipemon.queries.chosen import chosen
from pipemon.queries.columns import END, columns_of
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Scope
from pipemon.store.engine import Database
from pipemon.store.schema import workflows

P = ParamSpec("P")
T = TypeVar("T")


class Look:
    """A database, the rows of each scope that were chosen, and what is kept of them for later answers."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.read, self.heavy = db.read, db.heavy
        self._columns = columns_of(db)
        self.kept, self.plain = self._columns.kept, self._columns.plain
        self._chosen: list[tuple[str, Scope, Rows]] = []
        self._workflows: dict[int, tuple[int, str]] | None = None

    @classmethod
    def at(cls, db: "Source") -> "Look":
        """Return a look at the database; the one that is taken already, where it is."""
        return db if isinstance(db, Look) else cls(db)

    def rows(self, part: str, scope: Scope) -> Rows:
        """Return the rows of the part that are in the scope."""
        for known, same, rows in self._chosen:
            if known == part and same == scope:
                return rows
        end = END if scope.created_to is None else scope.created_to
        blocks = self._columns.blocks(self.db, part, scope.created_from or 0, end)
        wanted = self._columns.filter(self.db, scope)
        rows = aside(chosen, part, blocks, wanted, self._columns.words, self._columns.kept)
        self._chosen.append((part, scope, rows))
        return rows

    @property
    def workflows(self) -> Mapping[int, tuple[int, str]]:
        """Repository and name of each workflow, by id."""
        if self._workflows is None:
            query = sa.select(workflows.c.id, workflows.c.repository_id, workflows.c.name)
            self._workflows = {key: (own, name) for key, own, name in self.heavy(query)}
        return self._workflows

    def workflow(self, key: int) -> str:
        """Return the workflow's name; its id where it has none."""
        return self.workflows.get(key, (0, str(key)))[1]


Source: TypeAlias = Database | Look


def over(
    db: Source,
    part: str,
    scope: Scope,
    function: Callable[Concatenate[Rows, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return what a pure function makes of the scope's rows, in a native thread: the hub goes on meanwhile."""
    rows = Look.at(db).rows(part, scope)
    return aside(lambda: function(rows, *args, **kwargs))
