"""Which runs are deployments. (The random worlds of test_pipeline cover the default rule.)"""

from typing import Any

import pytest

from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from pipemon.queries.deployments import DeploymentRule, list_recent
from pipemon.store.engine import Database
from tests.builders import T0, a_deployment
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


def test_githubs_own_come_before_runs_of_the_same_repository(database: Database) -> None:
    for number in (1, 2):
        a_repository(database, number)
        a_workflow(database, 7 + number, "Deploy", repository_id=number)
    hidden = a_run(database, workflow_id=8, created_at=T0 - 300, sha="a" * 40)
    shown = a_run(database, workflow_id=9, repository_id=2, created_at=T0 - 1200)
    own = a_deployment("in_progress", "success", sha="a" * 40, created_at=T0 - 600)
    failed = a_deployment("failure", created_at=T0 - 500)
    database.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed((own, failed))), T0))
    rows = list_recent(database, everything(database), DeploymentRule(("deploy",)), 5)
    assert [row.id for row in rows] == [own.id, shown["id"]]
    assert (rows[0].commit_message, rows[0].author) == (hidden["commit_message"], "Ada Octo")
    assert (rows[0].environment, rows[0].duration_seconds, rows[0].deployed_at) == ("production", 120, T0 - 480)
