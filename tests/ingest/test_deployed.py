"""Deployments through the one write path, on both engines."""

import itertools
import json
import random
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain import deployments as domain
from pipemon.domain.deployments import Comparison, Deployment, Step
from pipemon.ingest.apply import Applied, Batch, apply
from pipemon.ingest.deployed import Deployed
from pipemon.store import deployments as store
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.schema import event_log, events
from pipemon.store.schema_deployments import deployments
from tests.builders import T0, a_deployment


@pytest.fixture
def db(database: Database) -> Database:
    database.transact(lambda conn: repositories.watch(conn, ["octo/shop"]))
    return database


def bring(db: Database, *seen: Deployment, live_since: int | None = 0, **more: Any) -> Applied:
    batch = Batch(1, live_since, deployed=Deployed(seen, **more))
    return db.transact(lambda conn: apply(conn, batch, T0 + 9000))


def log_of(db: Database) -> list[tuple[str, int, bool]]:
    with db.read() as conn:
        rows = conn.execute(sa.select(events).order_by(events.c.id)).all()
    return [(row.type, json.loads(row.data)["deployment_id"], row.historic) for row in rows]


def kinds(db: Database) -> list[str | None]:
    with db.read() as conn:
        return list(conn.execute(sa.select(deployments.c.kind).order_by(deployments.c.id)).scalars())


def story(words: str) -> list[Deployment]:
    """Return one deployment per word, an hour apart, all successful."""
    shas = {word: f"{number:040x}" for number, word in enumerate(dict.fromkeys(words.split()), start=1)}
    return [
        a_deployment("in_progress", "success", id=number, sha=shas[word], created_at=T0 + 3600 * number)
        for number, word in enumerate(words.split(), start=1)
    ]


def test_a_bad_deploy_and_its_rollback_are_told_once(db: Database) -> None:
    for one in story("V1 V2 V1"):
        bring(db, one)
    assert kinds(db) == ["first", "change", "rollback"]
    told = [("deployment_success", number, False) for number in (1, 2, 3)]
    assert log_of(db) == [*told, ("rollback_detected", 3, False)]
    with db.read() as conn:
        data = json.loads(conn.execute(sa.select(events.c.data).order_by(events.c.id.desc())).scalars().first() or "")
    assert (data["rule"], data["blamed_deployment_id"], data["environment"]) == ("deployed_before", 2, "production")


def test_W1_any_order_of_arrival_gives_the_same_verdicts(db: Database) -> None:
    for order in itertools.permutations(story("V1 V2 V3 V1")):
        db.transact(lambda conn: conn.execute(sa.delete(deployments)))
        for one in order:
            bring(db, one)
        assert kinds(db) == ["first", "change", "change", "rollback"]


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_of_a_long_history_stay_and_none_is_missing(db: Database, seed: int, monkeypatch: Any) -> None:
    """Whatever comes in which order, each is judged by what was live in the deployments before it, and by no more."""
    for module in (domain, store):
        monkeypatch.setattr(module, "LOOK_BACK", 3)
    monkeypatch.setattr(store, "RECENT", 2)
    rng = random.Random(seed)
    told = [
        a_deployment("success" if rng.random() < 0.8 else "failure", id=number, sha=rng.choice("abcdefgh") * 40,
                     created_at=T0 + 3600 * number)
        for number in range(1, 31)
    ]  # fmt: skip
    steps = [Step(one.id, one.sha, one.finished_at or 0, one.deployed_at is not None) for one in told]
    rng.shuffle(told)
    for one in told:
        bring(db, one)
    found = domain.verdicts(steps)
    assert kinds(db) == [found[step.id].kind for step in steps]


def test_W2_what_comes_again_changes_nothing(db: Database) -> None:
    told = story("V1 V2 V1")
    bring(db, *told)
    with db.read() as conn:
        before = conn.execute(sa.select(event_log)).all(), conn.execute(sa.select(deployments)).all()
    for _ in range(2):
        assert bring(db, *reversed(told)) == Applied()
    with db.read() as conn:
        assert (conn.execute(sa.select(event_log)).all(), conn.execute(sa.select(deployments)).all()) == before


def test_history_is_not_news(db: Database) -> None:
    bring(db, *story("V1 V2 V1"), live_since=None)
    assert [historic for _, _, historic in log_of(db)] == [True] * 4


def test_what_happened_before_we_watched_is_history(db: Database) -> None:
    one, two = story("V1 V2")
    bring(db, one, two, live_since=two.created_at)
    assert log_of(db) == [("deployment_success", 1, True), ("deployment_success", 2, False)]


def test_a_failure_is_told_and_a_later_success_too(db: Database) -> None:
    bring(db, a_deployment("in_progress", "failure", id=1))
    bring(db, a_deployment("in_progress", "failure", "success", "inactive", id=1))
    assert [kind for kind, _, _ in log_of(db)] == ["deployment_failed", "deployment_success"]


def test_a_rollback_in_one_environment_is_none_in_another(db: Database) -> None:
    first, second, third = story("V1 V2 V1")
    staging = a_deployment("success", id=9, sha=first.sha, environment="staging", created_at=third.created_at + 60)
    bring(db, first, second, third, staging)
    assert kinds(db) == ["first", "change", "rollback", "first"]


def test_commits_that_are_read_later_turn_a_change_into_a_rollback(db: Database) -> None:
    one, two = story("V2 V1")
    bring(db, one, two)
    assert kinds(db) == ["first", "change"]
    bring(db, comparisons={two.id: Comparison(one.sha, "behind", behind_by=3)})
    assert kinds(db) == ["first", "rollback"]
    assert log_of(db)[-1] == ("rollback_detected", two.id, False)
