"""Which runs are deployments. (The random worlds of test_pipeline cover the default rule.)"""

from typing import Any

import pytest

from pipemon.queries.deployments import DeploymentRule, list_recent
from pipemon.store.engine import Database
from tests.builders import T0
from tests.queries.conftest import everything
from tests.rows import a_repository, a_run, a_workflow


@pytest.mark.parametrize(
    ("workflows", "branches", "over", "found"),
    [
        (("*deploy*",), ("@default",), {}, True),
        (("*DEPLOY*",), ("@default",), {}, True),
        (("ship.y?l",), ("@default",), {}, True),
        (("ship.yml", "x"), ("@default",), {}, True),
        ((), ("@default",), {}, False),
        (("deploy",), ("@default",), {}, False),
        (("*deploy*",), ("@default",), {"branch": "release/1"}, False),
        (("*deploy*",), ("@default", "release/*"), {"branch": "release/1"}, True),
        (("*deploy*",), ("release_*",), {"branch": "releases1"}, False),
        (("*deploy*",), ("@default",), {"conclusion": "failure"}, False),
        (("*deploy*",), ("@default",), {"status": "in_progress"}, False),
        (("*deploy*",), ("*",), {"head_repository": "fork/shop-1"}, False),
        (("*deploy*",), ("*",), {"event": "pull_request"}, False),
        (("*deploy*",), ("@default",), {"head_repository": "ACME/shop-1"}, True),
    ],
)
def test_rule(
    database: Database, workflows: tuple[str, ...], branches: tuple[str, ...], over: dict[str, Any], found: bool
) -> None:
    a_repository(database)
    a_workflow(database, 8, "Deploy site", ".github/workflows/ship.yml")
    run = a_run(database, workflow_id=8, **over)
    rows = list_recent(database, everything(database), DeploymentRule(workflows, branches), 5)
    assert [row.id for row in rows] == ([run["id"]] if found else [])


def test_newest_first_by_the_moment_of_deployment(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 8, "Deploy")
    slow = a_run(database, workflow_id=8, created_at=T0 - 900, completed_at=T0 - 10)
    fast = a_run(database, workflow_id=8, created_at=T0 - 800, completed_at=T0 - 700)
    a_run(database, workflow_id=8, created_at=T0 - 9000, completed_at=T0 - 8000)
    rows = list_recent(database, everything(database), DeploymentRule(("deploy",)), 2)
    assert [row.id for row in rows] == [slow["id"], fast["id"]]
    assert (rows[0].deployed_at, rows[0].status, rows[0].environment) == (T0 - 10, "success", None)
