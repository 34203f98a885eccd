"""Each environment's history, as the numbers of delivery are worked out from it."""

from pipemon.domain.deployments import Commit, Comparison
from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from pipemon.queries.rollouts import history
from pipemon.store.engine import Database
from tests.builders import T0, a_deployment
from tests.queries.conftest import everything
from tests.rows import a_repository


def test_history_by_environment_in_a_half_open_window(database: Database) -> None:
    a_repository(database)
    first = a_deployment("success", id=1, created_at=T0)
    second = a_deployment("failure", id=2, created_at=T0 + 600)
    third = a_deployment("success", id=3, created_at=T0 + 1200)
    other = a_deployment("success", id=4, created_at=T0 + 1200, environment="staging")
    going = a_deployment("in_progress", id=5, created_at=T0 + 1300)
    commits = (Commit("c" * 40, T0 + 1000, "Mend", "dev-ada"), Commit("d" * 40, T0 + 1100, "Merge", None, True))
    told = Deployed((first, second, third, other, going), comparisons={
        3: Comparison(first.sha, "ahead", 2, 0, commits), 2: Comparison(first.sha, "unreadable"),
    })  # fmt: skip
    database.transact(lambda conn: apply(conn, Batch(1, 0, deployed=told), T0))
    found = history(database, everything(database), T0 + 60, T0 + 1260)
    assert [(one.id, one.kind, one.commits) for one in found["acme/shop-1", "production"]] == [
        (1, "first", None),
        (2, "change", None),
    ]
    found = history(database, everything(database), T0 + 61, T0 + 1261)
    assert [(one.id, one.deployed_at, one.failed_at, one.commits) for one in found["acme/shop-1", "production"]] == [
        (2, None, T0 + 660, None),
        (3, T0 + 1260, None, commits),
    ]
    assert [one.id for one in found["acme/shop-1", "staging"]] == [4]
