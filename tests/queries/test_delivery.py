"""From stored deployments, and from runs that deploy, to the four keys; on both engines."""

from typing import Any

from pipemon.analytics.sheets import COUNTED, REASONS, WHYS
from pipemon.domain.deployments import KINDS, Commit, Comparison
from pipemon.ingest.apply import Batch, apply
from pipemon.ingest.deployed import Deployed
from pipemon.queries import past
from pipemon.queries.delivery import Delivers, delivery
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store import deployments
from pipemon.store.deployments import Overruling
from pipemon.store.engine import Database
from tests.builders import T0, a_deployment
from tests.queries.conftest import NOW, everything
from tests.rows import a_repository, a_run, a_workflow

DELIVERS = Delivers(("prod*",), 90)
LATE = T0 + 10_000


def store(db: Database, *told: Any, repository_id: int = 1, **comparisons: Comparison) -> None:
    found = {int(name.removeprefix("of_")): one for name, one in comparisons.items()}
    read = {one.id: one.updated_at for one in told}
    batch = Batch(repository_id, 0, deployed=Deployed(told, read, comparisons=found))
    db.transact(lambda conn: apply(conn, batch, T0))


def ids(line: past.Line) -> list[int]:
    return line.history.rows["id"].tolist()


def test_the_history_of_each_environment_in_order_with_commits_where_they_are_of_the_one_before(
    database: Database,
) -> None:
    a_repository(database)
    first = a_deployment("success", id=1, created_at=T0)
    second = a_deployment("failure", id=2, created_at=T0 + 600)
    third = a_deployment("success", id=3, created_at=T0 + 1200)
    fourth = a_deployment("success", id=6, created_at=T0 + 1300)
    fifth = a_deployment("success", id=7, created_at=T0 + 1400)
    other = a_deployment("success", id=4, created_at=T0 + 1200, environment="staging")
    going = a_deployment("in_progress", id=5, created_at=T0 + 1300)
    commits = (Commit("c" * 40, T0 + 1000, "Mend", "dev-ada"), Commit("d" * 40, T0 + 1100, "Merge", None, True))
    store(
        database, first, second, third, fourth, fifth, other, going,
        of_3=Comparison(first.sha, "ahead", 2, 0, commits), of_2=Comparison(first.sha, "unreadable"),
        of_6=Comparison(first.sha, "ahead", 2, 0, commits), of_7=Comparison(fourth.sha, "unreadable"),
    )  # fmt: skip
    production, staging = past.lines(database, everything(database), T0, LATE)
    assert (production.environment, production.source, staging.environment) == ("production", "github", "staging")
    told = [
        (row["id"], KINDS[row["kind"]], row["at"], row["deployed"], REASONS[row["no_lead"]], row["leads"])
        for row in production.history.rows
    ]
    assert told == [
        (1, "first", T0 + 60, True, "first", 0),
        (2, "change", T0 + 660, False, "", 0),
        (3, "change", T0 + 1260, True, "", 1),
        (6, "change", T0 + 1360, True, "range_not_read_yet", 0),  # compared with another than the one before
        (7, "change", T0 + 1460, True, "range_not_readable", 0),
    ]
    assert production.history.leads.tolist() == [260]
    assert ids(past.lines(database, everything(database), T0, T0 + 660)[0]) == [1]


def test_only_so_many_successes_before_the_window_are_read(database: Database, monkeypatch: Any) -> None:
    a_repository(database)
    store(database, *(a_deployment("success", id=n, created_at=T0 + n * 100) for n in range(1, 9)))
    store(database, a_deployment("failure", id=9, created_at=T0 + 470))
    monkeypatch.setattr(past, "LOOK_BACK", 3)
    (line,) = past.lines(database, everything(database), T0 + 660, LATE)
    assert ids(line) == [3, 4, 9, 5, 6, 7, 8]


def test_what_a_person_said_counts(database: Database) -> None:
    a_repository(database)
    store(database, *(a_deployment("success", id=n, created_at=T0 + n * 100) for n in (1, 2, 3)))
    said = Overruling("rollback", "boss", T0)
    assert database.transact(lambda conn: deployments.overrule(conn, 3, 1, said))
    (line,) = past.lines(database, everything(database), T0, LATE)
    told = [(KINDS[row["kind"]], row["marks"], WHYS[row["why"]]) for row in line.history.rows]
    assert told[1:] == [("change", -1, ""), ("rollback", 2, "rolled_back")]


def test_what_was_refused_before_it_began_has_not_started(database: Database) -> None:
    a_repository(database)
    states = {1: ("success",), 2: ("waiting", "failure"), 3: ("queued", "in_progress", "error"), 4: ("failure",)}
    store(database, *(a_deployment(*words, id=n, created_at=T0 + n * 1000) for n, words in states.items()))
    (line,) = past.lines(database, everything(database), T0, LATE)
    refused = {row["id"] for row in line.history.rows if COUNTED[row["counted"]] == "never_started"}
    assert (ids(line), refused) == ([1, 2, 3, 4], {2})


def test_runs_stand_in_where_github_knows_of_no_deployments(database: Database) -> None:
    a_repository(database, 1)
    a_repository(database, 2)
    a_workflow(database, 7, "Deploy site", repository_id=2)
    a_workflow(database, 8, "Deploy secret", repository_id=2)
    store(database, a_deployment("success", id=1, created_at=T0 - 900))
    made = []
    for place, sha in enumerate(("a", "b", "c", "a", "d", "d")):
        state = "failure" if place == 4 else "success"
        over = {"id": 50 + place, "created_at": T0 - 9000 + place * 1000, "sha": sha * 40, "source": "workflow"}
        made.append(a_deployment(state, environment="Deploy site", **over))
        a_run(database, id=50 + place, repository_id=2, workflow_id=7)
    a_run(database, id=80, repository_id=2, workflow_id=8)
    made.append(a_deployment("success", id=80, environment="Deploy secret", created_at=T0 - 900, source="workflow"))
    store(database, *made, repository_id=2)
    scope = everything(database, created_from=T0 - 7 * DAY_SECONDS, created_to=T0, exclude_workflows=("*secret",))
    found = past.lines(database, scope, T0 - 9999, T0)
    assert [(line.repository_id, line.environment, line.source) for line in found] == [
        (1, "production", "github"),
        (2, "Deploy site", "workflow"),
    ]
    whole = delivery(database, Window(scope, 7, NOW), DELIVERS)
    site = whole.environments[1]
    assert (site.keys.changes, [one.deployment_id for one in site.failed]) == (4, [54, 51])
    assert {one.recovered_by for one in site.facts.recovered} == {53, 55}
    # Production as a whole: the environment of that name, and what deploys without naming one.
    assert (whole.keys.deployments, whole.keys.changes, whole.basis.n) == (6, 5, 5)


def test_the_message_of_the_deployed_commit_may_name_what_it_mends(database: Database) -> None:
    a_repository(database)
    a_run(database, sha="b" * 40, commit_message=f"Hotfix for {'a' * 9}")
    store(
        database,
        a_deployment("success", id=1, sha="f" * 40, created_at=T0 - 3000),
        a_deployment("success", id=2, sha="a" * 40, created_at=T0 - 2000),
        a_deployment("success", id=3, sha="b" * 40, created_at=T0 - 1000),
    )
    window = Window(everything(database, created_from=T0 - 7 * DAY_SECONDS, created_to=T0), 7, NOW)
    (one,) = delivery(database, window, DELIVERS).environments
    assert [(failed.deployment_id, failed.why, failed.by) for failed in one.failed] == [(2, "hotfixed", 3)]


def test_only_production_is_in_the_whole_unless_one_is_asked_for(database: Database) -> None:
    a_repository(database)
    store(
        database,
        a_deployment("success", id=1, created_at=T0 - 900, environment="Prod-eu"),
        a_deployment("success", id=2, created_at=T0 - 800, environment="staging"),
        a_deployment("success", id=3, created_at=T0 - 10 * DAY_SECONDS, environment="prod-us"),
    )
    window = Window(everything(database, created_from=T0 - 7 * DAY_SECONDS, created_to=T0), 7, NOW)
    found = delivery(database, window, DELIVERS)
    assert (found.keys.deployments, found.keys_before.deployments) == (1, 1)
    assert [(one.environment, one.production) for one in found.environments] == [
        ("Prod-eu", True),
        ("prod-us", True),
        ("staging", False),
    ]
    alone = delivery(database, window, DELIVERS, "STAGING")
    assert (alone.keys.deployments, [one.environment for one in alone.environments]) == (1, ["staging"])


def test_coverage_says_how_far_back_deployments_were_read(database: Database) -> None:
    a_repository(database, 1)
    a_repository(database, 2)
    for number in (1, 2):
        made = a_deployment("success", id=number, created_at=T0 - 900)
        store(database, made, repository_id=number)
    window = Window(everything(database, created_from=T0 - 7 * DAY_SECONDS, created_to=T0), 7, NOW)

    def gaps(days: int = 90) -> list[tuple[str, int, int]]:
        found = delivery(database, window, Delivers((), days)).basis.coverage
        assert found.complete == (not found.gaps)
        return [(gap.repository, gap.from_at, gap.to_at) for gap in found.gaps]

    begin = T0 - 7 * DAY_SECONDS
    assert gaps() == [("acme/shop-1", begin, T0), ("acme/shop-2", begin, T0)]
    database.transact(lambda conn: deployments.record_read(conn, 1, T0, True))
    assert gaps() == [("acme/shop-2", begin, T0)]
    assert gaps(5) == [("acme/shop-1", begin, T0 - 5 * DAY_SECONDS), ("acme/shop-2", begin, T0)]
    assert gaps(0) == [("acme/shop-2", begin, T0)]
    database.transact(lambda conn: deployments.record_read(conn, 2, T0, True))
    assert gaps() == []
    new = tuple(a_deployment(id=n, created_at=T0 - n) for n in (5, 7, 10 * DAY_SECONDS))
    database.transact(lambda conn: apply(conn, Batch(1, 0, deployed=Deployed(new)), T0))
    assert gaps() == [("acme/shop-1", T0 - 7, T0 - 4)]
