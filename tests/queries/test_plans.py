"""What is asked of all deployments, or of all runs, is answered from an index that holds it."""

from collections.abc import Callable
from typing import Any

import pytest

from pipemon.queries import drift, rollouts
from pipemon.queries.delivery import Delivers, delivery
from pipemon.queries.pages import PARTS
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.rows import a_repository, a_run, a_workflow
from tests.store.writing import only_sqlite

DELIVERS = Delivers(("prod*",), 90)


def window(db: Database) -> Window:
    return Window(everything(db, created_from=T0 - 30 * DAY_SECONDS, created_to=T0), 30, NOW)


ASKED: list[tuple[Callable[[Database], object], set[str]]] = [
    (lambda db: delivery(db, window(db), DELIVERS), {"COVERING INDEX ix_sheets_known", "INDEX ix_deployments_unread"}),
    (lambda db: rollouts.list_rollbacks(db, everything(db), 5, NOW), {"INDEX ix_deployments_undoing"}),
    (
        lambda db: drift.list_environments(db, everything(db), NOW),
        {"COVERING INDEX uq_sheets_line", "INDEX ix_deployments_history", "INDEX ix_runs_sha"},
    ),
    # A run's past on its branch is not looked through for what has superseded it.
    (
        lambda db: db.heavy(PARTS["jobs"].select(T0 // DAY_SECONDS)),
        {"INDEX ix_runs_workflow_created (workflow_id=? AND created_at>? AND created_at<?)"},
    ),
]


@only_sqlite
@pytest.mark.parametrize(("ask", "indexes"), ASKED)
def test_it_is_answered_from_its_index(
    database: Database, ask: Callable[[Database], object], indexes: set[str], monkeypatch: Any
) -> None:
    for number in (1, 2):
        a_repository(database, number)
    a_workflow(database, 7, "CI")
    a_run(database)
    asked: list[Any] = []
    heavy_each = Database.heavy_each

    def remember(self: Database, select: Any, values: Any) -> Any:
        asked.append(select)
        return heavy_each(self, select, values)

    monkeypatch.setattr(Database, "heavy_each", remember)
    ask(database)
    plans = ""
    with database.read() as conn:
        for select in asked:
            text = select.compile(dialect=conn.dialect, compile_kwargs={"literal_binds": True})
            plans += "\n".join(row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")) + "\n"
    assert {index for index in indexes if index not in plans} == set(), plans
    assert not any(line in ("SCAN deployments", "SCAN runs", "SCAN sheets") for line in plans.splitlines())
