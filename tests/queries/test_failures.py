"""Failures by reason, and runs that stand in for deployments, on both engines."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipemon.domain.deployments import Deploying
from pipemon.domain.signatures import Signature
from pipemon.queries import failures, signatures
from pipemon.queries.window import Window
from pipemon.store import failures as stored
from pipemon.store import stand_ins
from pipemon.store.engine import Database
from pipemon.store.failures import Explained
from tests.builders import a_job as a_domain_job
from tests.builders import a_run as a_domain_run
from tests.queries.conftest import NOW, everything
from tests.rows import T0, a_failure, a_job, a_repository, a_run, a_workflow

DAY = 86400


def test_groups_agree_with_counting_one_by_one(database: Database) -> None:
    rng = random.Random(7)
    for number in (1, 2):
        a_repository(database, number)
    a_workflow(database, 7, "CI")
    told: list[tuple[Mapping[str, Any], str | None]] = []
    for _ in range(60):
        run = a_run(database, repository_id=rng.choice([1, 2]), branch=rng.choice(["main", "topic"]),
                    conclusion="failure", created_at=T0 - rng.randrange(4 * DAY))  # fmt: skip
        for name in ("lint", "unit")[: rng.randint(1, 2)]:
            word = rng.choice(["a" * 16, "b" * 16, "c" * 16, None])
            job = a_job(database, run, name=name, conclusion="failure")
            a_failure(database, run, job, signature=word, title=word)
            told.append((run, word))
    scope = everything(database, created_from=NOW.timestamp - 2 * DAY, created_to=NOW.timestamp)
    found = signatures.signatures(database, Window(scope, 2, NOW))
    wanted = [(run, word) for run, word in told if NOW.timestamp - 2 * DAY <= run["created_at"] < NOW.timestamp]
    counted = Counter(word for _, word in wanted if word)
    assert {one.signature: one.failures for one in found.groups} == counted
    assert {one.signature: one.builds for one in found.groups} == {
        word: len({run["id"] for run, other in wanted if other == word}) for word in counted
    }
    assert [one.failures for one in found.groups] == sorted(counted.values(), reverse=True)
    assert found.basis.n == sum(counted.values())
    assert sum(one.count for one in found.basis.excluded) == sum(word is None for _, word in wanted)


def test_what_is_wanted_and_what_green_jobs_said(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    green_run = a_run(database, id=50, created_at=T0 - 900)
    a_job(database, green_run, id=500, name="unit")
    run = a_run(database, id=60, conclusion="failure", created_at=T0 - 600)
    job = a_job(database, run, id=600, name="unit", conclusion="failure")
    one = a_domain_job(a_domain_run(id=60), id=600, conclusion="failure", completed_at=int(str(job["completed_at"])))
    for _ in range(2):
        database.transact(lambda conn: stored.want(conn, 1, [one], T0))
    with database.read() as conn:
        (wanted,) = stored.list_wanted(conn, T0, 10)
        assert stored.find_green(conn, wanted) == 500
    database.transact(lambda conn: stored.keep_green(conn, wanted, 500, {1, 2**62}, T0))
    with database.read() as conn:
        assert stored.green_lines(conn, wanted) == (frozenset({1, 2**62}), T0)
        assert stored.find_green(conn, wanted) is None
    said = Explained(Signature("f" * 16, "it broke"), None, ())
    database.transact(lambda conn: stored.explain(conn, 600, said))
    with database.read() as conn:
        assert stored.list_wanted(conn, T0 + DAY, 10) == []
        found = failures.of_run(conn, everything(database), 60)
    assert (found[600].title, found[600].seen.failures if found[600].seen else 0) == ("it broke", 1)


def test_runs_that_deploy(database: Database) -> None:
    a_repository(database)
    a_workflow(database, 7, "CI")
    a_workflow(database, 8, "Ship it", ".github/workflows/deploy.yml")
    own = {"head_repository": "acme/shop-1", "workflow_id": 8}
    a_run(database, id=70, **own)
    for over in ({"branch": "topic"}, {"head_repository": "eve/x"}, {"event": "pull_request"}, {"workflow_id": 7}):
        a_run(database, **{**own, **over})
    with database.read() as conn:
        (found,) = stand_ins.list_missing(conn, 1, Deploying(("deploy*",)), 10)
    assert (found.id, found.environment, found.state, found.source) == (70, "Ship it", "success", "workflow")
