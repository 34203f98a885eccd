"""What people ask for, on the simulator: GitHub is asked once per key, whatever happens in between."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.actions import LEFT_SECONDS, OtherAction, Performer, UnderWay
from pipemon.domain.actions import Action
from pipemon.domain.secrets import Secret
from pipemon.github.actions import Actions
from pipemon.github.auth import PersonalToken
from pipemon.github.budget import Gate
from pipemon.github.client import GitHub
from pipemon.github.errors import BudgetSpent, GitHubError, LimitReached, Unreachable
from pipemon.github.timed import Patience
from pipemon.simulator import Simulator
from pipemon.store import actions as store
from pipemon.store.engine import Database
from pipemon.store.schema_actions import actions
from tests.rows import a_repository, a_run

SHOP = "octo-harbor/shop"


class World:
    """A simulator, a database that knows its run, and a performer whose waits take no time."""

    def __init__(self, sim: Simulator, url: str, db: Database, folder: Path) -> None:
        self.sim, self.db, self.url, self.folder = sim, db, url, folder
        self.now, self.waits = float(sim.now()), list[float]()
        self.reader = self.client("ghp_reads")
        self.performer = Performer(
            db, self.reader, Actions(self.client("ghp_acts").transport), 0.0, lambda: self.now, self.sleep
        )
        a_repository(db, name=SHOP)

    def client(self, token: str, url: str | None = None) -> GitHub:
        tokens = PersonalToken(Secret(token))
        gate = Gate(tokens.hash, lambda _: None, lambda _: None, self.sim.now)
        return GitHub(url or self.url, tokens, gate, None, Patience(2, 2, 4))

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.sim.advance(seconds)

    def finished(self) -> int:
        (run_id,) = self.sim.add_runs(SHOP, seconds=1)
        self.sim.advance(5)
        self.now += 5
        a_run(self.db, id=run_id)
        return run_id

    def running(self) -> int:
        (run_id,) = self.sim.add_runs(SHOP, seconds=0)
        a_run(self.db, id=run_id)
        return run_id

    def attempts(self, run_id: int) -> int:
        return next(len(run["attempts"]) for run in self.sim.truth(SHOP) if run["id"] == run_id)

    def asked(self) -> int:
        """Return how many changes GitHub was asked for."""
        return sum(n for route, n in self.sim.counters()["by_route"].items() if route.startswith("POST"))

    def states(self) -> list[str]:
        with self.db.read() as conn:
            return list(conn.execute(sa.select(actions.c.state).order_by(actions.c.id)).scalars())


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    sim = Simulator(size="empty", rate_limit=100_000)
    with sim.serve() as url:
        yield World(sim, url, database, tmp_path)


def rerun(run_id: int, verb: str = "rerun", **more: object) -> Action:
    return replace(Action(verb, SHOP, run_id), **more)  # type: ignore[arg-type]


def test_each_action_is_githubs_own(world: World) -> None:
    run_id = world.finished()
    for number, verb in enumerate(("rerun", "rerun_failed"), start=2):
        found, was_there = world.performer.perform(rerun(run_id, verb, debug=True), "ann", None)
        assert (found.state, was_there, world.attempts(run_id)) == ("accepted", False, number)
        world.sim.order("finish", SHOP, run=run_id, conclusion="failure")
        world.sleep(2)
    job_id = next(job.id for job in world.reader.jobs(SHOP, run_id, 1, live=False).jobs.jobs)  # type: ignore[union-attr]
    assert world.performer.perform(rerun(run_id, "rerun_job", job_id=job_id), "ann", None)[0].state == "accepted"
    assert world.attempts(run_id) == 4
    assert world.performer.perform(rerun(run_id, "cancel"), "ann", None)[0].state == "accepted"
    other = world.running()
    assert world.performer.perform(rerun(other, "force_cancel"), "ann", None)[0].state == "accepted"
    routes = world.sim.counters()["by_route"]
    assert sum(n for route, n in routes.items() if route.startswith("POST")) == 5


def test_only_the_token_for_actions_acts(world: World) -> None:
    world.sim.reset_counters()
    run_id = world.finished()
    world.performer.perform(rerun(run_id), "ann", None)
    assert world.sim.counters()["by_token"] == {"ghp_acts": 1}
    world.sim.order("finish", SHOP, run=run_id)
    world.sleep(2)
    world.sim.order_fault("status", route="rerun$", status=502)
    world.performer.perform(rerun(run_id), "ann", None)
    assert world.sim.counters()["by_token"]["ghp_acts"] == 2
    assert world.sim.counters()["by_token"]["ghp_reads"] >= 1


@pytest.mark.parametrize(
    ("prepare", "verb", "status", "words"),
    [
        ("running", "rerun", 409, "already running"),
        ("finished", "cancel", 409, "Cannot cancel"),
        ("old", "rerun", 403, "created over a month ago"),
        ("deleted", "rerun", 404, "not find"),
    ],
)
def test_a_refusal_is_passed_on_with_its_reason(world: World, prepare: str, verb: str, status: int, words: str) -> None:
    run_id = world.running() if prepare == "running" else world.finished()
    if prepare == "old":
        world.sim.advance(40 * 86400)
    if prepare == "deleted":
        world.sim.order("delete", SHOP, run=run_id)
    found, _ = world.performer.perform(rerun(run_id, verb), "ann", "k")
    assert (found.state, found.status) == ("refused", status)
    assert words in (found.reason or "")
    again, was_there = world.performer.perform(rerun(run_id, verb), "ann", "k")
    assert (again, was_there) == (found, True)
    assert world.asked() == 1


def test_G4_a_missing_permission_is_named_and_no_wait(world: World) -> None:
    run_id = world.finished()
    lacking = {"message": "Resource not accessible by personal access token"}
    accepted = {"X-Accepted-GitHub-Permissions": "actions=write"}
    world.sim.order_fault("status", route="rerun$", status=403, body=lacking, headers=accepted)
    found, _ = world.performer.perform(rerun(run_id), "ann", None)
    assert (found.state, found.status) == ("refused", 403)
    assert "actions=write" in (found.reason or "")
    assert world.performer.perform(rerun(run_id), "ann", None)[0].state == "accepted"


def test_D12_a_key_is_asked_once(world: World) -> None:
    run_id = world.finished()
    first = world.performer.perform(rerun(run_id), "ann", "click")
    second = world.performer.perform(rerun(run_id), "ann", "click")
    assert (first[1], second[1]) == (False, True)
    assert second[0] == first[0]
    assert world.attempts(run_id) == 2
    assert world.asked() == 1


def test_D12_a_key_stands_for_one_action_of_one_caller(world: World) -> None:
    run_id = world.finished()
    world.performer.perform(rerun(run_id), "ann", "k")
    with pytest.raises(OtherAction):
        world.performer.perform(rerun(run_id, "cancel"), "ann", "k")
    assert world.performer.perform(rerun(run_id, "cancel"), "bob", "k")[1] is False


def test_D12_clicks_at_the_same_moment_are_one_action(world: World) -> None:
    run_id = world.finished()
    came: list[str] = []

    def click() -> None:
        try:
            came.append(world.performer.perform(rerun(run_id), "ann", "double")[0].state)
        except UnderWay:
            came.append("under way")

    clicks = [threading.Thread(target=click) for _ in range(8)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert len(came) == 8
    assert set(came) <= {"accepted", "under way"}
    assert world.asked() == 1
    assert world.attempts(run_id) == 2


def test_D12_changes_are_a_second_apart(world: World) -> None:
    for _ in range(3):
        world.performer.perform(rerun(world.running(), "cancel"), "ann", None)
    with world.db.read() as conn:
        slots = list(conn.execute(sa.select(actions.c.slot_at).order_by(actions.c.slot_at)).scalars())
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(slots))
    assert any(wait > 0.5 for wait in world.waits)


def test_D12_a_queue_of_actions_has_an_end(world: World) -> None:
    run_id = world.running()

    def queue(count: int) -> None:
        for _ in range(count):
            world.db.transact(lambda conn: store.claim(conn, "ann", None, rerun(run_id, "cancel"), world.now))

    queue(11)
    with pytest.raises(store.TooMany):
        queue(1)
    world.now += 5
    queue(5)


def test_G9_a_clock_that_was_set_back_stops_nobody(world: World) -> None:
    run_id = world.running()
    world.db.transact(lambda conn: store.claim(conn, "ann", None, rerun(run_id, "cancel"), world.now + 3600))
    found, _ = world.db.transact(lambda conn: store.claim(conn, "ann", None, rerun(run_id, "cancel"), world.now))
    assert found.slot_at == world.now


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 502}, {"kind": "reset"}, {"kind": "truncate"}])
def test_D12_an_unknown_result_is_settled_by_looking(world: World, fault: dict[str, Any]) -> None:
    """The simulator does what it was asked, and its answer is lost."""
    run_id = world.finished()
    world.sim.order_fault(route="rerun$", **fault)
    found, _ = world.performer.perform(rerun(run_id), "ann", "k")
    assert found.state == "accepted"
    assert "seen at the run" in (found.reason or "")
    assert (world.attempts(run_id), world.asked()) == (2, 1)


def test_D12_what_nobody_knows_is_told_as_unknown_and_never_asked_again(world: World) -> None:
    run_id = world.running()
    # A cancel whose answer is lost, of a run that goes on: its heed may come later, or never.
    world.sim.order_fault("status", route="cancel$", status=502, undone=True)
    found, _ = world.performer.perform(rerun(run_id, "cancel"), "ann", "k")
    assert found.state == "unknown"
    again, was_there = world.performer.perform(rerun(run_id, "cancel"), "ann", "k")
    assert (again.state, was_there, world.asked()) == ("unknown", True, 1)


def test_D12_what_was_not_sent_may_be_tried_again_with_its_key(world: World) -> None:
    run_id = world.finished()
    nobody = Actions(world.client("ghp_acts", "http://127.0.0.1:9").transport)
    broken = replace(world.performer, doer=nobody)
    with pytest.raises(Unreachable):
        broken.perform(rerun(run_id), "ann", "k")
    assert world.states() == []
    assert world.performer.perform(rerun(run_id), "ann", "k")[0].state == "accepted"


def test_D12_a_limit_keeps_the_key_free(world: World) -> None:
    run_id = world.finished()
    limited = {"message": "You have exceeded a secondary rate limit"}
    world.sim.order_fault("status", route="rerun$", status=403, body=limited)
    with pytest.raises(LimitReached):
        world.performer.perform(rerun(run_id), "ann", "k")
    with pytest.raises(GitHubError):
        world.performer.perform(rerun(run_id), "ann", "k")
    assert world.asked() == 1
    assert not issubclass(Unreachable, BudgetSpent)


@pytest.mark.parametrize(("was_done", "state"), [(True, "accepted"), (False, "unknown")])
def test_D12_a_process_that_died_while_asking_leaves_an_action_that_is_settled(
    world: World, was_done: bool, state: str
) -> None:
    run_id = world.finished()
    world.db.transact(lambda conn: store.claim(conn, "ann", "k", rerun(run_id), world.now))
    if was_done:
        world.sim.order("rerun", SHOP, run=run_id)
    with pytest.raises(UnderWay):
        world.performer.perform(rerun(run_id), "ann", "k")
    world.performer.settle_left()
    assert world.states() == ["asked"]
    world.sleep(LEFT_SECONDS + 1)
    world.performer.settle_left()
    assert world.states() == [state]
    found, was_there = world.performer.perform(rerun(run_id), "ann", "k")
    assert (found.state, was_there, world.asked()) == (state, True, 0)


def test_D12_where_nobody_else_serves_a_restart_is_enough_to_settle(world: World) -> None:
    run_id = world.finished()
    world.db.transact(lambda conn: store.claim(conn, "ann", "k", rerun(run_id), world.now))
    world.sim.order("rerun", SHOP, run=run_id)
    world.now += 1
    again = replace(world.performer, alone_since=world.now)
    assert again.perform(rerun(run_id), "ann", "k")[0].state == "accepted"
    world.db.transact(lambda conn: store.claim(conn, "ann", "mine", rerun(run_id), world.now))
    with pytest.raises(UnderWay):
        again.perform(rerun(run_id), "ann", "mine")


def test_old_keys_are_forgotten(world: World) -> None:
    run_id = world.finished()
    world.performer.perform(rerun(run_id), "ann", "old")
    world.now += store.KEPT_SECONDS + 10
    world.db.transact(lambda conn: store.claim(conn, "ann", "new", rerun(run_id), world.now))
    assert len(world.states()) == 1
