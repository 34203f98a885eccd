"""Deliveries come late, twice, in any order, or not at all: what is stored is what happened, and each end once."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.github.errors import LimitReached
from pipemon.ingest import deliveries as applying
from pipemon.ingest.plan import Floors
from pipemon.ingest.poll import Poller
from pipemon.simulator.hooks import Posting
from pipemon.store import deliveries as stored
from pipemon.store import repositories
from pipemon.store.engine import DatabaseFull
from pipemon.store.schema import deliveries, events
from pipemon.store.schema_deployments import deployments as deployed
from pipemon.store.state import LeaseLost
from tests.builders import iso
from tests.ingest.conftest import SHOP, Story
from tests.ingest.hooked import Hooked, changed


@pytest.fixture
def hooked(story: Story) -> Hooked:
    """A repository that was read once, and whose deliveries come."""
    story.tick()
    return Hooked(story)


def some_life(hooked: Hooked, rng: random.Random, runs: int) -> None:
    """Let runs begin, end and be rerun."""
    sim = hooked.story.sim
    made = sim.add_runs(SHOP, count=runs, seconds=rng.randint(5, 40), conclusion=rng.choice(["success", "failure"]))
    sim.add_runs(SHOP, seconds=0)
    hooked.story.now += 60
    sim.order("rerun", SHOP, run=rng.choice(made), seconds=20)


def test_a_run_is_known_from_its_deliveries_alone(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=60, conclusion="failure")
    calls = hooked.story.sim.counters()["calls"]
    hooked.live(90)
    assert hooked.story.attempts_of(run) == [(1, "completed", "failure")]
    assert hooked.story.jobs_of(run, 1) == 2
    told = hooked.story.events_of(run)
    assert told[:2] == ["build_queued", "build_started"]
    assert sorted(told[2:]) == ["build_failed", "job_failed"]
    assert hooked.story.sim.counters()["calls"] == calls
    assert set(hooked.results()) == {"applied"}


def test_what_a_delivery_tells_is_news(hooked: Hooked) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=30)
    hooked.live(60)
    assert {row[0] for row in hooked.story.rows(sa.select(events.c.historic))} == {False}


def test_a_delivery_of_long_ago_is_history(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=30)
    late = hooked.collect(60)
    hooked.story.now += 2 * 3600
    hooked.take_in(*late)
    hooked.apply()
    assert hooked.story.attempts_of(run) == [(1, "completed", "success")]
    assert {row[0] for row in hooked.story.rows(sa.select(events.c.historic))} == {True}


def a_history(new_story: Callable[..., Story], seed: int, orders: int) -> None:
    """Compare the end state of one history in its order with that of other orders and repetitions."""
    rng = random.Random(seed)
    first: list[Any] | None = None
    capture: list[Posting] = []
    for number in range(orders):
        story = new_story(seed=seed)
        story.tick()
        hooked = Hooked(story)
        if not capture:
            some_life(hooked, random.Random(seed), 3)
            capture = hooked.collect(120)
        else:
            some_life(hooked, random.Random(seed), 3)
            hooked.collect(120)
        again = [*capture, *rng.choices(capture, k=10)] if number else capture
        if number:
            rng.shuffle(again)
        for place, posting in enumerate(again):
            hooked.take_in(posting, guid=f"{place}")
            if rng.random() < 0.3:
                hooked.apply()
        for _ in range(20):
            story.now += 1
            hooked.apply()
        found = [*hooked.state(), hooked.ends()]
        assert len(set(hooked.ends())) == len(hooked.ends())
        first = first or found
        assert found == first


@pytest.mark.parametrize("seed", range(3))
def test_W1_any_order_and_any_repetition_end_the_same(new_story: Callable[..., Story], seed: int) -> None:
    a_history(new_story, seed, orders=4)


@pytest.mark.proof
def test_W1_in_many_histories(new_story: Callable[..., Story]) -> None:
    for seed in range(100, 130):
        a_history(new_story, seed, orders=6)


def test_W1_completed_first_and_queued_last(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=30)
    hooked.take_in(*reversed(hooked.collect(60)))
    hooked.apply()
    assert hooked.story.attempts_of(run) == [(1, "completed", "success")]
    assert hooked.story.events_of(run).count("build_succeeded") == 1


def test_W2_a_delivery_that_comes_five_times_has_one_effect(hooked: Hooked) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=30)
    postings = hooked.collect(60)
    said = [[receipt.status for receipt in hooked.take_in(*postings)] for _ in range(5)]
    assert [set(words) for words in said] == [{"accepted"}] + [{"repeated"}] * 4
    hooked.apply()
    before = hooked.log()
    hooked.take_in(*postings)
    hooked.apply()
    assert hooked.log() == before
    assert hooked.results() == {"applied": len(postings)}


def test_W2_killed_between_effect_and_mark_it_is_applied_again(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    hooked.take_in(*hooked.collect(1))
    before, real = hooked.log(), stored.finish

    def killed(*args: object, **options: object) -> None:
        raise SystemExit

    monkeypatch.setattr(stored, "finish", killed)
    with pytest.raises(SystemExit):
        hooked.apply()
    assert hooked.log() == before, "the effect is in the same transaction as the mark"
    assert hooked.story.rows(sa.select(deliveries.c.result).where(deliveries.c.result.is_not(None))) == []
    monkeypatch.setattr(stored, "finish", real)
    hooked.apply()
    assert hooked.story.events_of(run) == ["build_queued"]


def race(story: Story, rng: random.Random, runs: int) -> Hooked:
    """Let polls and deliveries of the same runs meet at random moments."""
    story.tick()
    hooked = Hooked(story)
    under_way: list[int] = []
    for _ in range(runs):
        under_way += story.sim.add_runs(SHOP, seconds=0)
        story.sim.add_runs(SHOP, seconds=rng.choice([10, 30]), conclusion="failure")
        if rng.random() < 0.6:
            story.sim.order("finish", SHOP, run=under_way.pop(rng.randrange(len(under_way))))
        waiting = hooked.collect(rng.randint(1, 12))
        rng.shuffle(waiting)
        for posting in waiting:
            hooked.take_in(posting)
            if rng.random() < 0.3:
                story.poller.tick()
            if rng.random() < 0.5:
                hooked.apply()
    hooked.live(40)
    story.tick(times=3)
    return hooked


def test_W3_webhook_and_poll_race_on_the_same_runs(story: Story) -> None:
    hooked = race(story, random.Random(3), runs=15)
    story.judge()
    assert len(set(hooked.ends())) == len(hooked.ends())


def test_W4_polling_heals_what_was_not_delivered(hooked: Hooked) -> None:
    hooked.story.sim.hooks.aim(secret="made up", dropped=0.3)
    hooked.story.sim.add_runs(SHOP, count=20, seconds=40, conclusion="failure")
    hooked.live(80)
    assert hooked.story.sim.hooks.counters()["dropped"] > 10
    hooked.story.tick(times=2)
    hooked.story.judge()


@pytest.mark.proof
def test_W4_dropped_doubled_and_shuffled_all_runs_are_true_within_two_cycles(new_story: Callable[..., Story]) -> None:
    story = new_story(rate_limit=100_000)
    story.tick()
    hooked, rng = Hooked(story), random.Random(4)
    story.poller = Poller(story.deps, Floors(5, 60), story.clock, told=hooked.told)  # one that stretches
    story.sim.hooks.aim(secret="made up", dropped=0.3, doubled=0.2, shuffled=0.3)
    for _ in range(100):
        made = story.sim.add_runs(
            SHOP, count=3, seconds=rng.randint(5, 60), conclusion=rng.choice(["success", "failure"])
        )
        hooked.live(rng.randint(5, 20), poll=True)
        if rng.random() < 0.2:
            story.sim.order("rerun", SHOP, run=made[0], seconds=15)
    hooked.live(90)
    counts = story.sim.hooks.counters()
    assert min(counts["dropped"], counts["doubled"], counts["shuffled"]) > 100
    for _ in range(2):
        story.now += 61
        story.poller.tick()
    story.judge()
    assert len(set(hooked.ends())) == len(hooked.ends())


def test_W8_a_whole_capture_replayed_under_new_ids_changes_nothing(hooked: Hooked) -> None:
    some_life(hooked, random.Random(8), 5)
    hooked.live(90)
    before = (hooked.state(), hooked.log())
    replay = list(hooked.sent)
    random.Random(8).shuffle(replay)
    for place, posting in enumerate(replay):
        assert hooked.take_in(posting, guid=f"again-{place}")[0].status == "accepted"
    hooked.apply()
    assert (hooked.state(), hooked.log()) == before


@pytest.mark.parametrize("header", ["workflow_run", "workflow_job", "deployment", "deployment_status", "ping", "push"])
def test_W8_under_another_events_name_it_has_no_effect(hooked: Hooked, header: str) -> None:
    some_life(hooked, random.Random(8), 2)
    postings = [posting for posting in hooked.collect(60) if posting.event != header]
    before = hooked.log()
    for place, posting in enumerate(postings):
        assert hooked.take_in(posting, guid=f"x-{place}", event=header)[0].status == "ignored"
    hooked.apply()
    assert hooked.log() == before
    assert hooked.results() == {"ignored": len(postings)}


def test_W8_a_replay_brings_no_deleted_run_back(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    hooked.live(10)
    hooked.story.sim.order("delete", SHOP, run=run)
    hooked.story.tick(64, times=3)
    assert hooked.story.run(run).deleted_at is not None
    before = hooked.log()
    for place, posting in enumerate(hooked.sent):
        hooked.take_in(posting, guid=f"again-{place}")
    hooked.apply()
    assert hooked.story.run(run).deleted_at is not None
    assert hooked.log() == before


def test_W9_another_repositorys_delivery_is_ignored(hooked: Hooked) -> None:
    hooked.story.sim.add_runs("octo-harbor/twins", seconds=30)
    said = hooked.take_in(*hooked.collect(60))
    assert {(receipt.status, receipt.why) for receipt in said} == {("ignored", "this repository is not watched")}
    hooked.apply()
    assert hooked.story.run_ids() == set()
    assert {row[0] for row in hooked.story.rows(sa.select(deliveries.c.body))} == {None}


def test_W9_neither_is_one_that_only_has_its_name(hooked: Hooked) -> None:
    """A repository that was made anew under an old name is another one."""
    hooked.story.sim.add_runs(SHOP, seconds=0)
    (posting,) = [one for one in hooked.collect(1) if one.event == "workflow_run"]
    foreign = changed(posting, lambda body: body["repository"].update(id=4242), "foreign")
    assert hooked.take_in(foreign)[0].status == "ignored"


def test_a_renamed_repositorys_delivery_is_its_own(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    hooked.story.sim.order("rename", SHOP, name="market")
    hooked.live(5)
    assert hooked.story.run_ids() == {run}


def test_before_the_first_read_its_name_decides(story: Story) -> None:
    hooked = Hooked(story)
    story.sim.add_runs(SHOP.upper().replace("SHOP", "shop"), seconds=0)
    hooked.live(5)
    assert len(story.run_ids()) == 1
    assert {row[0] for row in story.rows(sa.select(events.c.historic))} == {True}


def of_jobs(postings: list[Posting]) -> list[Posting]:
    return [posting for posting in postings if posting.event == "workflow_job"]


def test_a_job_waits_for_its_run(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    postings = hooked.collect(1)
    calls = hooked.story.sim.counters()["calls"]
    hooked.take_in(*of_jobs(postings))
    hooked.apply()
    assert hooked.results() == {None: 2}
    hooked.take_in(*(posting for posting in postings if posting.event == "workflow_run"))
    hooked.story.now += 5
    hooked.apply()
    assert hooked.results() == {"applied": 3}
    assert hooked.story.jobs_of(run, 1) == 2
    assert hooked.story.sim.counters()["calls"] == calls


def test_W4_a_job_whose_run_was_never_told_has_it_read_by_id(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=30, conclusion="failure")
    jobs = of_jobs(hooked.collect(60))
    hooked.take_in(*jobs)
    calls = hooked.story.sim.counters()["calls"]
    for _ in range(5):
        hooked.story.now += 1
        hooked.apply()
        hooked.deliveries.step()
    assert hooked.results() == {"applied": len(jobs)}
    assert hooked.story.attempts_of(run) == [(1, "completed", "failure")]
    assert "job_failed" in hooked.story.events_of(run)
    assert hooked.story.sim.counters()["calls"] == calls + 1


def test_a_job_of_a_run_that_github_does_not_know_is_set_aside(hooked: Hooked) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    jobs = of_jobs(hooked.collect(1))
    hooked.story.sim.order("delete", SHOP, run=run)
    hooked.take_in(*jobs)
    for _ in range(20):
        hooked.story.now += 60
        hooked.deliveries.step()
    assert hooked.results() == {"failed": len(jobs)}
    assert {row.tries for row in hooked.story.rows(sa.select(deliveries.c.tries))} == {applying.MOST_TRIES - 1}


def test_a_limit_makes_jobs_wait_and_costs_them_no_try(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = hooked.story.sim.add_runs(SHOP, seconds=0)
    jobs = of_jobs(hooked.collect(1))
    hooked.take_in(*jobs)
    until = int(hooked.story.now) + 3000

    def limited(*args: object, **options: object) -> None:
        raise LimitReached(until, "the limit is used up")

    monkeypatch.setattr(hooked.story.github, "run", limited)
    for _ in range(20):
        hooked.story.now += 60
        hooked.deliveries.step()
    rows = hooked.story.rows(sa.select(deliveries.c.result, deliveries.c.tries, deliveries.c.due_at))
    assert {tuple(row) for row in rows} == {(None, 0, float(until))}
    monkeypatch.undo()
    hooked.story.now = until + 1
    hooked.deliveries.step()
    hooked.apply()
    assert hooked.results() == {"applied": len(jobs)}
    assert hooked.story.jobs_of(run, 1) == 2


def test_D9_one_that_cant_be_believed_is_set_aside_and_harms_no_other(hooked: Hooked) -> None:
    made = hooked.story.sim.add_runs(SHOP, count=9, seconds=0)
    postings = [one for one in hooked.collect(1) if one.event == "workflow_run"]
    bad = changed(postings[4], lambda body: body["workflow_run"].update(id="none"), "bad")
    hooked.take_in(*postings[:4], bad, *postings[5:])
    hooked.apply()
    assert hooked.results() == {"applied": 8, "failed": 1}
    assert len(hooked.story.run_ids()) == len(made) - 1
    ((why,),) = hooked.story.rows(sa.select(deliveries.c.why).where(deliveries.c.result == "failed"))
    assert "no usable id" in why


def test_D9_a_mistake_of_ours_is_tried_again_a_number_of_times(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    made = hooked.story.sim.add_runs(SHOP, count=2, seconds=0)
    postings = [one for one in hooked.collect(1) if one.event == "workflow_run"]
    hooked.take_in(*postings)
    real, tries = applying.apply, []

    def failing(conn: Any, batch: Any, now: int) -> Any:
        if batch.runs[0].run.id == made[0]:
            tries.append(now)
            raise ZeroDivisionError("a mistake")
        return real(conn, batch, now)

    monkeypatch.setattr(applying, "apply", failing)
    for _ in range(40):
        hooked.story.now += 30
        hooked.deliveries.step()
    assert hooked.results() == {"applied": 1, "failed": 1}
    assert len(set(tries)) == applying.MOST_TRIES
    # A redelivery by hand, once the mistake is mended, has its effect.
    monkeypatch.setattr(applying, "apply", real)
    assert hooked.take_in(*postings)[0].status == "repeated"
    hooked.apply()
    assert hooked.results() == {"applied": 2}
    assert hooked.story.run_ids() == set(made)


@pytest.mark.parametrize("error", [DatabaseFull("the disk is full"), LeaseLost("another process holds it")])
def test_W5_trouble_of_the_database_is_no_deliverys_fault(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=0)
    hooked.take_in(*hooked.collect(1))

    real, broken = hooked.story.db.transact, [error]

    def transact(work: Any) -> Any:
        if broken:
            raise broken.pop()
        return real(work)

    monkeypatch.setattr(hooked.story.db, "transact", transact)
    with pytest.raises(type(error)):
        hooked.deliveries.step()
    monkeypatch.undo()
    assert {row.tries for row in hooked.story.rows(sa.select(deliveries.c.tries))} == {0}
    hooked.apply()
    assert set(hooked.results()) == {"applied"}


def test_I8_old_bodies_go_by_themselves(hooked: Hooked) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=10)
    hooked.live(30)
    hooked.story.now += 86_400 + 1000
    hooked.deliveries.step()
    assert {row.body for row in hooked.story.rows(sa.select(deliveries.c.body))} == {None}
    hooked.story.now += 7 * 86_400
    hooked.deliveries.step()
    assert hooked.results() == {}


def deployment_postings(hooked: Hooked, *states: str) -> list[Posting]:
    """Return the deliveries of one deployment: that it was made, and that it came to each of these states."""
    hooked.story.sim.add_runs(SHOP, seconds=0)
    (run,) = [one for one in hooked.collect(1) if one.event == "workflow_run"]
    made = iso(int(hooked.story.now))
    deployment = {"id": 5, "sha": "a" * 40, "environment": "production", "created_at": made, "updated_at": made}

    def posting(event: str, **parts: Any) -> Posting:
        def change(body: dict[str, Any]) -> None:
            body.pop("workflow_run")
            body.update(action="created", deployment=deployment, **parts)

        return replace(changed(run, change, f"{event}-{len(found)}"), event=event)

    found: list[Posting] = []
    found.append(posting("deployment"))
    for number, state in enumerate(states, start=1):
        at = iso(int(hooked.story.now) + number)
        found.append(posting("deployment_status", deployment_status={"id": number, "state": state, "created_at": at}))
    return found


def deployments_of(hooked: Hooked) -> list[Any]:
    columns = (deployed.c.id, deployed.c.state, deployed.c.deployed_at, deployed.c.statuses, deployed.c.kind)
    return [tuple(row) for row in hooked.story.rows(sa.select(*columns))]


def test_W1_deployment_deliveries_in_any_order_end_the_same(hooked: Hooked) -> None:
    postings = deployment_postings(hooked, "in_progress", "success", "inactive")
    ends = set()
    for turn, order in enumerate(itertools.permutations(postings)):
        hooked.story.db.transact(lambda conn: conn.execute(sa.delete(deployed)))
        for posting in order:
            hooked.take_in(posting, guid=f"{turn}-{posting.guid}")
        hooked.apply()
        ends.add(tuple(deployments_of(hooked)))
    ((end,),) = ends
    assert (end[1], end[2], end[4]) == ("inactive", int(hooked.story.now) + 2, "first")
    told = hooked.story.rows(sa.select(events.c.type).where(events.c.type.like("deployment%")))
    assert [row.type for row in told] == ["deployment_success"]


def test_W2_a_deployment_told_twice_has_one_effect(hooked: Hooked) -> None:
    postings = deployment_postings(hooked, "success")
    hooked.take_in(*postings)
    hooked.apply()
    before = deployments_of(hooked), hooked.log()
    assert {receipt.status for receipt in hooked.take_in(*postings)} == {"repeated"}
    hooked.take_in(postings[1], guid="again")
    hooked.apply()
    assert (deployments_of(hooked), hooked.log()) == before
    assert hooked.results() == {"applied": 3}


def test_a_deployment_that_cant_be_believed_is_set_aside(hooked: Hooked) -> None:
    (posting,) = deployment_postings(hooked)
    hooked.take_in(changed(posting, lambda body: body["deployment"].pop("sha"), "bad"), event="deployment")
    hooked.apply()
    assert hooked.results() == {"failed": 1}


def test_one_of_a_repository_no_longer_watched_is_ignored(hooked: Hooked) -> None:
    hooked.story.sim.add_runs(SHOP, seconds=0)
    hooked.take_in(*hooked.collect(1))
    hooked.story.db.transact(lambda conn: repositories.watch(conn, ["octo-harbor/twins"]))
    hooked.apply()
    assert set(hooked.results()) == {"ignored"}
