"""What is packed, at any moment and however much of it, says the same as the deployments themselves."""

import json
import random
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from pipemon.analytics.sheets import COUNTED, REASONS, ROW, WHYS, Past, Sheet, pack
from pipemon.domain.deployments import KINDS, Commit, Comparison, DeploymentStatus
from pipemon.domain.runs import Commit as RunCommit
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.ingest.deployed import Deployed
from pipemon.queries import packer, past
from pipemon.queries.packer import Packer
from pipemon.store import deployments as store
from pipemon.store import repositories, stand_ins
from pipemon.store.deployments import Overruling
from pipemon.store.engine import Database
from pipemon.store.schema import runs
from pipemon.store.schema_deployments import deployments
from pipemon.store.upgrade import config
from tests.builders import T0, a_deployment, a_run
from tests.queries.conftest import everything

DAY = 86400
SHAS = [letter * 40 for letter in "abcdef"]
ENVIRONMENTS = ("production", "staging")


def slow(db: Database) -> dict[tuple[int, str, str], Sheet]:
    """Read each line from its rows, all at once."""
    with db.read() as conn:
        rows = conn.execute(sa.select(deployments).where(deployments.c.finished_at.is_not(None))).all()
        message = sa.func.max(runs.c.commit_message).label("message")
        told = conn.execute(sa.select(runs.c.sha, message).group_by(runs.c.sha))
        messages = {row.sha: row.message for row in told}
    shas = {row.id: row.sha for row in rows}
    lines: dict[tuple[int, str, str], list[Past]] = {}
    for row in rows:
        states = [one[1] for one in json.loads(row.statuses)]
        compared = row.comparison if row.compared_with == shas.get(row.previous_id, 0) else None
        kind = row.overruled_kind or row.kind
        lines.setdefault((row.repository_id, row.environment, row.source), []).append(
            Past(
                row.id, row.sha, kind, row.state, row.deployed_at, row.failed_at,
                started=row.deployed_at is not None or "in_progress" in states or "queued" not in states,
                overruled=row.overruled_kind is not None,
                undoes=(row.blamed_id or row.previous_id) if kind in ("rollback", "revert") else None,
                commits=row.commits if compared in ("ahead", "diverged") else None,
                message=messages.get(row.sha) or "", unread=compared is None,
            )
        )  # fmt: skip
    return {key: pack(own) for key, own in lines.items()}


def told(db: Database) -> dict[tuple[int, str, str], tuple[Any, Any]]:
    found = past.lines(db, everything(db), T0 - 800 * DAY, T0 + DAY)
    return {
        (line.repository_id, line.environment, line.source): (line.history.rows.tolist(), line.history.leads.tolist())
        for line in found
    }


def a_story(db: Database, rng: random.Random) -> None:
    """Do something to the deployments, as observations, people or runs do."""
    key = rng.randrange(1, 30)
    environment = ENVIRONMENTS[key % 2]
    with db.read() as conn:
        known = store.load(conn, [key]).get(key)
    if known is None or rng.random() < 0.5:
        at = known.created_at if known else T0 - rng.randrange(200) * DAY
        states = rng.choice([("success",), ("queued", "failure"), ("in_progress", "error"), ("success", "failure"), ()])
        sha = known.sha if known else rng.choice(SHAS)
        one = a_deployment(*states, id=key, sha=sha, created_at=at, environment=environment)
        _bring(db, Deployed((one,), {key: at}))
    elif rng.random() < 0.5:
        message = rng.choice(["Mend", f"This reverts commit {rng.choice(SHAS)}.", f"hotfix {rng.choice(SHAS)[:9]}"])
        commits = (Commit(rng.choice(SHAS), known.created_at - rng.randrange(DAY), message),)
        base, status = rng.choice(SHAS), rng.choice(["ahead", "unreadable", "behind"])
        _bring(db, Deployed(comparisons={key: Comparison(base, status, 1, 1, commits if status == "ahead" else ())}))
    elif rng.random() < 0.5:
        message = f"Hotfix for {rng.choice(SHAS)[:9]}"
        run = a_run(sha=rng.choice(SHAS), commit=RunCommit(message), repository="octo/shop")
        db.transact(lambda conn: apply(conn, Batch(1, 0, (Sighting(run),)), T0 + DAY))
    else:
        with db.read() as conn:
            row = conn.execute(sa.select(deployments).where(deployments.c.id == key)).one()
        said = Overruling(rng.choice([*KINDS, None]), "boss", T0)
        db.transact(lambda conn: store.overrule(conn, key, row.verdict_version or 0, said))


def _bring(db: Database, deployed: Deployed) -> None:
    db.transact(lambda conn: apply(conn, Batch(1, 0, deployed=deployed), T0 + DAY))


@pytest.mark.parametrize("seed", range(12))
def test_packed_or_not_it_says_what_the_deployments_say(database: Database, seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(past, "LOOK_BACK", 1000)
    monkeypatch.setattr(past, "AT_ONCE", 2)
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    rng = random.Random(seed)
    keeper = Packer(database)
    for step in range(40):
        a_story(database, rng)
        if rng.random() < 0.5:
            keeper.step()
        if step % 8 == 7:
            expected = {key: (sheet.rows.tolist(), sheet.leads.tolist()) for key, sheet in slow(database).items()}
            assert told(database) == expected
    packer.rebuild(database)
    assert told(database) == expected


def bring_and_pack(db: Database, *seen: Any, **more: Any) -> None:
    _bring(db, Deployed(seen, {one.id: one.updated_at for one in seen}, **more))
    Packer(db).step()


def test_commits_that_are_read_later_are_told(database: Database) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    first, second = (a_deployment("success", id=n, created_at=T0 - DAY * (3 - n)) for n in (1, 2))
    bring_and_pack(database, first, second)
    commits = (Commit("c" * 40, T0 - DAY, "Mend"),)
    bring_and_pack(database, comparisons={2: Comparison(first.sha, "ahead", 1, 0, commits)})
    (line,) = told(database).values()
    assert line[1] == [60]


def test_what_succeeds_months_after_it_failed_is_told_once(database: Database) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    began = T0 - 90 * DAY
    bring_and_pack(database, a_deployment("failure", id=1, created_at=began))
    late = DeploymentStatus(99, "success", T0 - DAY)
    bring_and_pack(database, a_deployment(id=1, created_at=began, updated_at=T0 - DAY, statuses=(late,)))
    (line,) = told(database).values()
    assert [row[:3] for row in line[0]] == [(1, T0 - DAY, began + 60)]


def test_what_is_touched_while_it_is_packed_does_not_hold(database: Database, monkeypatch: Any) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    _bring(database, Deployed((a_deployment("success", id=1),)))
    made = packer.packed

    def packed(db: Database, ids: Any) -> Any:
        monkeypatch.setattr(packer, "packed", made)
        found = list(made(db, ids))
        _bring(db, Deployed((a_deployment("success", id=2),)))
        return found

    monkeypatch.setattr(packer, "packed", packed)
    Packer(database).step()
    (line,) = told(database).values()
    assert [row[0] for row in line[0]] == [1, 2]


def test_runs_that_no_longer_stand_in_are_forgotten(database: Database) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    bring_and_pack(database, a_deployment("success", id=1, environment="Deploy", source="workflow"))
    assert list(told(database)) == [(1, "Deploy", "workflow")]
    database.transact(lambda conn: stand_ins.drop(conn, 1))
    assert told(database) == {}


def test_what_is_kept_of_a_sheet_is_not_told_once_all_are_begun_anew(database: Database) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    bring_and_pack(database, a_deployment("success", id=1))
    packer.rebuild(database)
    (before,) = told(database).values()
    bring_and_pack(database, a_deployment("success", id=2))
    packer.rebuild(database)
    (after,) = told(database).values()
    assert [len(before[0]), len(after[0])] == [1, 2]


def test_a_stored_sheet_is_read_as_it_was_written() -> None:
    """A change here needs a migration that takes all sheets out of use: `UPDATE sheets SET packed = NULL`."""
    assert str(ROW.descr) == (
        "[('id', '<i8'), ('at', '<i8'), ('failed_at', '<i8'), ('marks', '<i8'), ('why', '|u1'), ('deployed', '|b1'),"
        " ('bad', '|b1'), ('retry', '|b1'), ('kind', '|u1'), ('counted', '|u1'), ('no_lead', '|u1'), ('leads', '<i4'),"
        " ('workflow_id', '<i8'), ('commit', '<u8'), ('sha', '|S7')]"
    )
    assert (KINDS, COUNTED) == (
        ("first", "redeploy", "rollback", "revert", "change"),
        ("change", "retry", "redeploy", "rollback", "revert", "never_started"),
    )
    assert (REASONS, WHYS) == (
        ("", "first", "redeploy", "rollback", "range_not_read_yet", "range_not_readable", "no_commits"),
        ("", "rolled_back", "reverted", "hotfixed"),
    )


def test_an_upgrade_finds_what_there_is_to_pack(database: Database) -> None:
    database.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    for number in (1, 2, 3):
        bring_and_pack(database, a_deployment("success", id=number, created_at=T0 - number * 40 * DAY))
    before = told(database)

    def back(conn: sa.Connection) -> None:
        for name in ("sha", "unread", "undoing"):
            conn.exec_driver_sql(f"DROP INDEX ix_deployments_{name}")
        conn.exec_driver_sql("CREATE INDEX ix_deployments_kind ON deployments (kind, deployed_at)")
        conn.exec_driver_sql("DROP TABLE sheets")
        earlier = ScriptDirectory.from_config(config()).get_revision("0016").down_revision
        conn.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{earlier}'")

    def forth(conn: sa.Connection) -> None:
        made = config()
        made.attributes["connection"] = conn
        command.upgrade(made, "0016")

    database.rebuild(back)
    database.rebuild(forth)
    assert told(database) == before != {}
    assert Packer(database).step() == 3
    assert told(database) == before
