"""What the tests of queries share."""

from pipemon.queries import freshness
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.store.engine import Database
from tests.builders import T0

NOW = AsOf(T0, "fresh", 0)


def everything(db: Database, **filters: object) -> Scope:
    """Return the scope of all watched repositories."""
    with db.read() as conn:
        return Scope(freshness.read(conn).names(), **filters)  # type: ignore[arg-type]
