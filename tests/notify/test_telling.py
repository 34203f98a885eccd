"""From the event log to an inbox, on both engines: told once, told right, never lost."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event as Signal
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain.addresses import Allowed
from pipemon.domain.events import Event
from pipemon.domain.logs import StepSpan
from pipemon.domain.runs import JobList
from pipemon.domain.secrets import Secret
from pipemon.domain.signatures import Signature
from pipemon.ingest.apply import Batch, Sighting, apply, tell
from pipemon.notify.blind import Blind
from pipemon.notify.channels.slack import Slack
from pipemon.notify.dispatch import GROUP_SECONDS, Dispatch
from pipemon.notify.facts import Deploys
from pipemon.notify.message import Message
from pipemon.notify.outbox import LEASE_SECONDS, Outbox
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.store import events, explanations, failures, repositories, rules
from pipemon.store import notifications as store
from pipemon.store.engine import Database
from pipemon.store.failures import Explained
from pipemon.store.schema_notifications import notification_state, notifications
from pipemon.telling import Telling
from tests.builders import a_job, a_run
from tests.notify.inbox import Inbox
from tests.notify.world import NOW, SHOP, World, titles


def test_a_fresh_install_pages_nobody(database: Database, inbox: Inbox) -> None:
    database.transact(lambda conn: repositories.watch(conn, [SHOP]))
    run = a_run(
        repository=SHOP, status="completed", conclusion="failure", branch="main", head_repository=SHOP, event="push"
    )
    database.transact(lambda conn: apply(conn, Batch(1, None, runs=(Sighting(run),)), NOW))
    world = World(database, inbox)
    world.settle(3)
    world.end("failure", historic=True)
    world.settle(3)
    assert inbox.posts == []


def test_the_two_rules_that_everybody_has(world: World) -> None:
    with world.db.read() as conn:
        found = rules.list_rules(conn)
    assert [(rule.name, rule.trigger_events, rule.channels) for rule in found] == [
        ("Build Failures", ["build_failed", "build_timeout"], ["slack"]),
        ("Deployment Success", ["deployment_success"], ["slack"]),
    ]


def test_one_message_when_main_breaks_and_one_when_it_is_repaired(world: World, inbox: Inbox) -> None:
    world.end("success")
    world.end("failure")
    world.settle(3)
    world.end("success")
    world.settle(3)
    world.end("success")
    world.settle(3)
    assert titles(inbox) == ["🔴 CI failed on main", "🟢 CI is repaired on main"]


def test_N3_further_failures_are_told_together_once_an_interval(world: World, inbox: Inbox) -> None:
    for _ in range(30):
        world.end("failure")
        world.settle(2)
    assert titles(inbox) == ["🔴 CI failed on main"]
    world.now += GROUP_SECONDS
    world.settle(3)
    assert titles(inbox)[1:] == ["🔴 CI failed on main: 29 more"]
    with world.db.read() as conn:
        sent = conn.execute(sa.select(sa.func.sum(notifications.c.represents)).where(notifications.c.state == "sent"))
        assert sent.scalar_one() == 30


def test_N4_who_was_not_told_that_it_broke_is_not_told_of_the_repair(world: World, inbox: Inbox) -> None:
    world.end("failure", historic=True)
    world.end("success")
    world.settle(5)
    assert inbox.posts == []


def test_N4_flapping_opens_and_closes_each_time(world: World, inbox: Inbox) -> None:
    for _ in range(5):
        for conclusion in ("failure", "success"):
            world.end(conclusion)
            world.settle(2)
        world.now += GROUP_SECONDS / 2
    assert titles(inbox) == ["🔴 CI failed on main", "🟢 CI is repaired on main"] * 5


def test_a_rerun_that_succeeds_closes_it_too(world: World, inbox: Inbox) -> None:
    run = world.end("failure")
    world.settle(2)
    again = replace(run, run_attempt=2, conclusion="success", updated_at=int(world.now), started_at=int(world.now) - 9)
    world.db.transact(lambda conn: apply(conn, Batch(1, 0, runs=(Sighting(again),)), world.now))
    world.settle(2)
    assert titles(inbox) == ["🔴 CI failed on main", "🟢 CI is repaired on main"]


def test_other_branches_forks_and_pull_requests_are_not_main(world: World, inbox: Inbox) -> None:
    world.end("failure", branch="topic")
    world.end("failure", head_repository="evil/shop")
    world.end("failure", event="pull_request")
    world.settle(3)
    assert inbox.posts == []


def test_what_is_too_old_is_told_to_nobody(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.now += 3700
    world.settle(3)
    assert inbox.posts == []


def test_D2_what_was_decided_before_a_restart_is_sent_after_it(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.dispatch.step()
    world.restart()
    world.settle(2)
    assert len(inbox.posts) == 1


def test_D1_a_crash_before_the_commit_leaves_neither_rows_nor_cursor(world: World, inbox: Inbox) -> None:
    world.end("failure")

    def torn(conn: sa.Connection) -> None:
        world.dispatch._decide(conn)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.db.transact(torn)
    assert world.states() == []
    world.settle(2)
    assert len(inbox.posts) == 1


def test_D3_a_crash_between_sending_and_recording_is_repeated_and_says_so(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.dispatch.step()
    claimed = world.db.transact(lambda conn: world.outbox._claim(conn, "slack", world.now))
    assert claimed is not None
    world.channels["slack"].send(Message.from_json(claimed.message))
    world.restart()
    world.settle(5)
    assert len(inbox.posts) == 1, "the lease is not over"
    world.now += LEASE_SECONDS
    world.settle(3)
    assert len(inbox.posts) == 2
    assert inbox.texts[1].startswith("(possible repeat) ")
    (row,) = world.rows()
    assert (row.state, bool(row.possible_duplicate)) == ("sent", True)


def test_D4_a_wait_is_kept_over_a_restart(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (429, "", {"Retry-After": "40"}) if number == 0 else (200, "ok", {})
    world.end("failure")
    world.settle(3)
    world.restart()
    world.settle(35)
    assert len(inbox.posts) == 1
    world.settle(5)
    assert (len(inbox.posts), world.states()) == (2, ["sent"])


def test_D5_a_lost_answer_is_uncertain_and_an_error_is_not(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: [(500, "", {}), None, (200, "ok", {})][number]
    world.end("failure")
    world.settle(60)
    assert [text.startswith("(possible repeat)") for text in inbox.texts] == [False, False, True]


def test_D7_a_channel_that_is_gone_gets_nothing_more_and_can_be_replayed(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (404, "no_service", {})
    for branch in ("main", "main"):
        world.end("failure", branch=branch)
    world.settle(5)
    world.end("success")
    world.settle(60)
    assert len(inbox.posts) == 1
    with world.db.read() as conn:
        (known,) = store.list_channels(conn)
    assert "no_service" in known.disabled_why
    inbox.script = lambda number, body: (200, "ok", {})
    world.db.transact(lambda conn: store.note_channel(conn, "slack", disabled_why=None))
    assert world.db.transact(lambda conn: store.replay(conn, "slack", world.now)) >= 1
    world.now += GROUP_SECONDS
    world.settle(20)
    assert "dead" not in world.states()
    assert len(inbox.posts) > 1


def test_where_nothing_happens_nothing_is_written(world: World) -> None:
    """A commit rings the bell that this very work waits for."""
    world.end("failure")
    world.settle(5)
    telling = Telling(world.db, world.channels, lambda: world.now, 3600)
    work = telling.job(lambda conn: None, lambda: True)
    work()
    commits: list[int] = []
    world.db.committed = lambda: (commits.append(1), telling.ring())
    world.now += 20
    work()
    assert commits == []


def test_N7_a_channel_that_is_gone_is_told_of_by_another_once(world: World, inbox: Inbox) -> None:
    with Inbox() as pager:
        pager.script = lambda number, body: (404, "no_service", {})
        world.channels |= {"pager": Slack("pager", Secret(pager.url), poster(Outbound(Allowed.of(["127.0.0.1"]))))}
        world.dispatch = Dispatch(world.db, lambda: world.now, {"pager": "slack …"}, 3600)
        world.change_rule({"channels": ["pager"], "conditions": []})
        for branch in ("a", "b", "c"):
            world.end("failure", branch=branch)
        world.settle(10)
        assert len(pager.posts) == 1
    assert titles(inbox) == ["🟠 pipemon can't reach pager any more"]
    (post,) = inbox.posts
    assert post["blocks"][1]["text"]["text"].startswith("What it was to be told is kept; ")
    assert "Slack answered 404" in json.dumps(post)
    assert "secretpart" not in json.dumps(inbox.posts)


def test_D7_new_settings_make_a_channel_new(world: World, inbox: Inbox) -> None:
    world.settle(1)
    world.db.transact(lambda conn: store.note_channel(conn, "slack", disabled_why="gone"))
    world.restart()
    world.settle(1)
    with world.db.read() as conn:
        assert store.list_channels(conn)[0].disabled_why == "gone"
    world.db.transact(lambda conn: store.know_channel(conn, "slack", "another address"))
    with world.db.read() as conn:
        assert store.list_channels(conn)[0].disabled_why is None


def test_D9_a_message_that_is_never_taken_holds_nobody_up(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (400, "invalid_payload", {}) if "poison" in body["text"] else (200, "ok", {})
    change = {"conditions": []}
    world.change_rule(change)
    for number in range(100):
        world.end("failure", branch="poison" if number == 3 else f"b{number}")
    world.settle(110)
    assert world.states().count("sent") == 99
    assert world.states().count("dead") == 1


def test_N5_in_a_storm_a_critical_rule_waits_for_no_summary(world: World, inbox: Inbox) -> None:
    """Ten branches fail all the time; what comes from another rule is the next that is sent."""
    world.change_rule({"conditions": [{"type": "branch", "value": "storm*"}]})
    critical = {"name": "c", "description": "", "trigger_events": ["build_failed"], "channels": ["slack"]}
    only = {"conditions": [{"type": "branch", "value": "production"}], "enabled": True}
    world.db.transact(lambda conn: rules.add_rule(conn, critical | only, NOW))
    for _ in range(2):
        for number in range(10):
            world.end("failure", branch=f"storm{number}")
        world.settle(15)
    world.now += GROUP_SECONDS
    while world.dispatch.step():
        pass
    assert sum(row.kind == "summary" and row.due_at <= world.now for row in world.rows()) == 10
    before = len(inbox.posts)
    world.end("failure", branch="production")
    world.settle(3)
    assert titles(inbox)[before].endswith("failed on production")


def test_N5_a_first_word_goes_before_a_storm_s_summaries(world: World) -> None:
    for number in range(5):
        intent = store.Intent(f"s{number}", "slack", "x", "summary", "{}", "x", NOW, NOW)
        world.db.transact(lambda conn, one=intent: store.add(conn, one))
    quiet = store.Intent("quiet", "slack", "x", "opener", "{}", "quiet", NOW, NOW)
    world.db.transact(lambda conn: store.add(conn, quiet))
    with world.db.read() as conn:
        due = store.next_due(conn, "slack", NOW + 1)
    assert due is not None
    assert due.id == 6


def test_N3_no_faster_than_one_a_second(world: World, inbox: Inbox) -> None:
    world.change_rule({"conditions": []})
    for number in range(5):
        world.end("failure", branch=f"b{number}")
    while world.dispatch.step():
        pass
    for _ in range(20):
        world.outbox.step()
    assert len(inbox.posts) == 1


def test_N3_a_clock_that_is_set_forward_makes_it_no_faster(world: World, inbox: Inbox) -> None:
    """GitHub's time comes in whole seconds: ours may be set forward by nearly one."""
    passed = [0.0]
    world.outbox = Outbox(world.db, world.channels, lambda: world.now, monotonic=lambda: passed[0])
    world.change_rule({"conditions": []})
    for number in range(5):
        world.end("failure", branch=f"b{number}")
    while world.dispatch.step():
        pass
    for _ in range(3):
        world.outbox.step()
        world.now += 1
        passed[0] += 0.3
    assert len(inbox.posts) == 1
    passed[0] += 0.2
    world.outbox.step()
    assert len(inbox.posts) == 2


def test_N6_a_mute_is_kept_with_its_reason_and_ends(world: World, inbox: Inbox) -> None:
    mute = {"mutes": [{"branch": "main", "until": NOW + 50, "reason": "release day"}]}
    world.db.transact(lambda conn: rules.change_settings(conn, mute))
    world.end("failure")
    world.settle(3)
    assert (inbox.posts, world.states()) == ([], ["suppressed"])
    assert "release day" in world.rows()[0].why
    world.now += 60
    world.end("failure")
    world.settle(3)
    assert len(inbox.posts) == 1


def test_a_rule_for_a_channel_that_is_not_there_says_so(world: World) -> None:
    world.change_rule({"channels": ["pager"]})
    world.end("failure")
    world.settle(2)
    assert [(row.state, row.why) for row in world.rows()] == [("suppressed", "there is no channel pager")]


def test_A4_of_a_hundred_changes_at_once_none_is_lost(world: World) -> None:
    """Each adds its number to the name it has read: those that were not refused are all there."""

    def change(number: int) -> bool:
        with world.db.read() as conn:
            first = rules.list_rules(conn)[0]
        name = f"{first.name} {number}"
        return world.db.transact(lambda conn: rules.change_rule(conn, first, {"name": name}, NOW)) is not None

    with ThreadPoolExecutor(10) as pool:
        taken = list(pool.map(change, range(100)))
    with world.db.read() as conn:
        first = rules.list_rules(conn)[0]
    assert sorted(map(int, first.name.split()[2:])) == [number for number, was_taken in enumerate(taken) if was_taken]
    assert first.version == 1 + sum(taken)


def test_A4_of_two_processes_that_change_settings_at_once_each_keeps_its_own(world: World) -> None:
    first_has_read, second_may_end = Signal(), Signal()

    def change(db: Database, name: str, wait: bool) -> None:
        def work(conn: sa.Connection) -> None:
            rules.change_settings(conn, {name: 5})
            if wait:
                first_has_read.set()
                second_may_end.wait(0.5)

        db.transact(work)

    other = Database(world.db.url.render_as_string(hide_password=False))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(change, world.db, "retry_attempts", True)
        assert first_has_read.wait(10)
        pool.submit(change, other, "rate_limit_per_hour", False).result()
        first.result()
    other.close()
    with world.db.read() as conn:
        state = rules.get_state(conn)
    assert state is not None
    assert state.settings == {"retry_attempts": 5, "rate_limit_per_hour": 5}


def test_A4_of_two_changes_at_once_one_is_refused(world: World) -> None:
    with world.db.read() as conn:
        first = rules.list_rules(conn)[0]
    change = world.db.transact
    assert change(lambda conn: rules.change_rule(conn, first, {"name": "one"}, NOW)) is not None
    assert change(lambda conn: rules.change_rule(conn, first, {"name": "two"}, NOW)) is None


def test_a_deploy_by_workflow_is_told_where_github_knows_no_deployments(world: World, inbox: Inbox) -> None:
    world.dispatch = Dispatch(
        world.db, lambda: world.now, {"slack": "slack …"}, 3600, deploys=Deploys(("*deploy*",), ("main",))
    )
    world.end("success", name="Deploy")
    world.end("success", name="CI")
    world.settle(3)
    assert titles(inbox) == ["🟢 main was deployed to Deploy"]


@pytest.mark.parametrize(("ref", "told"), [("main", True), ("refs/heads/main", True), ("topic", False)])
def test_a_deployment_of_github_is_told(world: World, inbox: Inbox, ref: str, told: bool) -> None:
    data = {"deployment_id": 5, "repository": SHOP, "environment": "production", "ref": ref, "commit_sha": "a" * 40}
    event = Event("deployment_success", "pipeline", SHOP, "deployment:5", NOW, data={**data, "creator": "ada"})

    def work(conn: sa.Connection) -> None:
        events.lock(conn)
        events.append(conn, [event], NOW)

    world.db.transact(work)
    world.settle(3)
    assert titles(inbox) == (["🟢 main was deployed to production"] if told else [])


@pytest.mark.parametrize(("environment", "told"), [("production-eu", 1), ("staging", 0)])
def test_deployments_are_told_by_environment_and_state(world: World, inbox: Inbox, environment: str, told: int) -> None:
    conditions = [{"type": "workflow", "value": "production*"}, {"type": "status", "value": ["failure", "error"]}]
    world.change_rule({"trigger_events": ["deployment_failed"], "conditions": conditions})
    data = {"deployment_id": 5, "repository": SHOP, "environment": environment, "ref": "main", "status": "failure"}
    event = Event("deployment_failed", "pipeline", SHOP, "deployment:5", NOW, data={**data, "commit_sha": "a" * 40})
    world.db.transact(lambda conn: tell(conn, lambda _: [event], NOW))
    world.settle(3)
    assert len(inbox.posts) == told


def test_a_log_that_was_restored_is_not_told_again(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.settle(2)
    world.db.transact(lambda conn: conn.execute(sa.update(notification_state).values(epoch="another")))
    world.settle(3)
    assert len(inbox.posts) == 1
    assert json.loads(world.rows()[0].message)["severity"] == "bad"


def test_N7_G10_it_tells_once_that_it_is_blind_and_once_that_it_sees_again(world: World, inbox: Inbox) -> None:
    trouble: list[str | None] = [None]

    def make() -> Blind:
        return Blind(world.db, lambda: trouble[0], {"slack": "slack …"}, lambda: world.now)

    def live(blind: Blind, seconds: int) -> None:
        for _ in range(seconds):
            blind.step()
            world.outbox.step()
            world.now += 1

    blind = make()
    live(blind, 200)
    trouble[0] = "GitHub refuses the token (Bad credentials)"
    live(blind, 100)
    assert inbox.posts == [], "what passes by itself is nobody's business"
    live(blind, 300)
    live(make(), 300)
    assert titles(inbox) == ["🟠 pipemon can't see what happens"]
    assert "Bad credentials" in str(inbox.posts[0]["blocks"])
    trouble[0] = None
    live(make(), 60)
    live(make(), 60)
    assert titles(inbox)[1:] == ["🟢 pipemon sees again"]


# Why it failed


def failed_job(world: World, run: Any, **over: Any) -> None:
    """Store a failed job of the run, of which the log is still to be read."""
    job = a_job(run, conclusion="failure", completed_at=int(world.now), **over)
    listed = JobList(run.id, 1, (job,), complete=True)
    world.db.transact(lambda conn: apply(conn, Batch(1, live_since=0, jobs=(listed,)), world.now))


def read_log(world: World, title: str | None) -> None:
    """Read the logs that are wanted, as ingest.failures does."""
    with world.db.read() as conn:
        found = failures.list_wanted(conn, world.now + 100, 10)
    for wanted in found:
        said = Explained(Signature("f" * 16, title), StepSpan(4, "Run tests", 0), ())

        def work(conn: sa.Connection, wanted: Any = wanted, said: Any = said) -> None:
            failures.explain(conn, wanted.job_id, said)
            explanations.hasten(conn, wanted.run_id, world.now)

        world.db.transact(work)


@pytest.fixture
def patient(world: World) -> World:
    world.dispatch = Dispatch(world.db, lambda: world.now, {"slack": "slack …"}, 3600, patience_seconds=8)
    return world


def test_the_message_of_a_failure_says_why(patient: World) -> None:
    run = patient.end("failure")
    failed_job(patient, run, name="unit")
    patient.settle(3)
    assert patient.inbox.posts == []
    read_log(patient, "FAILED tests/test_door.py::test_it <opens> `x`")
    patient.settle(2)
    (post,) = patient.inbox.posts
    text = json.dumps(post)
    assert "```FAILED tests/test_door.py::test_it &lt;opens&gt; 'x'```" in text
    assert "unit, step Run tests" in text
    (row,) = patient.rows()
    assert "FAILED tests" in row.message


def test_it_goes_without_a_reason_after_some_seconds(patient: World) -> None:
    patient.end("failure")
    patient.settle(7)
    assert patient.inbox.posts == []
    patient.settle(4)
    assert len(patient.inbox.posts) == 1


def test_a_reason_waits_for_the_other_jobs_of_the_run(patient: World) -> None:
    run = patient.end("failure")
    failed_job(patient, run, name="lint")
    failed_job(patient, run, name="unit")
    read_log(patient, "Error: both")
    patient.settle(2)
    assert "and 1 more failed job)" in json.dumps(patient.inbox.posts)


def test_each_failed_job_is_told_with_its_own_reason(patient: World) -> None:
    patient.change_rule({"trigger_events": ["job_failed"], "conditions": []})
    run = patient.end("failure")
    for name in ("lint", "unit"):
        failed_job(patient, run, name=name)
    patient.settle(3)
    assert patient.inbox.posts == []
    read_log(patient, "Error: both")
    patient.settle(4)
    told = [json.dumps(post) for post in patient.inbox.posts]
    assert len(told) == 2
    assert all("Error: both" in text for text in told)
    assert ["lint, step Run tests" in text for text in told] == [True, False]
    assert ["unit, step Run tests" in text for text in told] == [False, True]


def test_a_reason_does_not_end_quiet_hours(patient: World) -> None:
    patient.change_rule({"quiet_hours": {"from": "08:00", "to": "10:00", "tz": "UTC", "days": ["thu"]}})
    run = patient.end("failure")
    failed_job(patient, run, name="unit")
    patient.settle(2)
    read_log(patient, "Error: it")
    patient.settle(10)
    assert (patient.inbox.posts, patient.states()) == ([], ["pending"])


def test_G9_a_skewed_local_clock_holds_no_message_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due by GitHub's clock is due: also where the local one is an hour behind."""
    telling = Telling(world.db, world.channels, lambda: world.now, 3600)
    monkeypatch.setattr("time.time", lambda: world.now - 3600)
    work = telling.job(lambda conn: None, lambda: True)
    world.end("failure")
    work()
    world.now += 60
    work()
    assert len(world.inbox.posts) == 1


def test_D10_after_a_day_without_slack_all_is_told_as_one(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {})
    for number in range(12):
        world.end("failure", branch=f"b{number}")
    world.dispatch.step()
    change = {"conditions": []}
    world.change_rule(change)
    for number in range(12):
        world.end("failure", branch=f"c{number}")
    for _ in range(100):  # a day, a quarter of an hour at a time
        world.dispatch.step()
        world.outbox.step()
        world.now += 900
    assert "dead" not in world.states()
    inbox.script = lambda number, body: (200, "ok", {})
    before = len(inbox.posts)
    for _ in range(10):
        world.outbox.step()
        world.now += 900
    (post,) = inbox.posts[before:]
    assert "12 messages waited" in json.dumps(post)
    rows = world.rows()
    assert sum(row.represents for row in rows if row.state == "sent") == 12
    assert {row.state for row in rows} == {"sent", "suppressed"}
    digest_id = next(row.id for row in rows if row.state == "sent")
    assert all(row.why == f"told by message {digest_id}" for row in rows if row.state == "suppressed")
    # Who was told of a failure, be it within a digest, is told of the repair.
    world.end("success", branch="c3")
    world.settle(5)
    assert "repaired on c3" in titles(inbox)[-1]


def test_D10_a_few_that_waited_come_one_by_one(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if number < 3 else (200, "ok", {})
    world.end("failure")
    world.settle(100)
    assert world.states() == ["sent"]


def test_a_message_that_is_never_taken_is_given_up_while_others_are(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (500, "no", {}) if "poison" in body["text"] else (200, "ok", {})
    change = {"conditions": []}
    world.change_rule(change)
    world.end("failure", branch="poison")
    world.settle(5)
    world.end("failure", branch="other")
    for _ in range(40):
        world.settle(2)
        world.now += 900
    assert sorted(world.states()) == ["dead", "sent"]


# What is slow


@pytest.mark.parametrize(
    ("known", "took", "titles_wanted"),
    [(30, 80, ["took unusually long"]), (30, 61, []), (10, 500, [])],
)
def test_a_build_that_takes_unusually_long(world: World, known: int, took: int, titles_wanted: list[str]) -> None:
    """The workflow's builds take a minute; of ten of them nothing can be said."""
    change = {"trigger_events": ["build_slow"], "conditions": []}
    world.change_rule(change)
    for _ in range(known):
        world.end("success", historic=True)
        world.now += 60
    world.dispatch.step()
    end = int(world.now)
    world.end("success", created_at=end - took, started_at=end - took)
    world.settle(5)
    assert [title for title in titles(world.inbox) if "unusually long" in title] == titles(world.inbox)
    assert len(world.inbox.posts) == len(titles_wanted)


def after_a_history(world: World, change: dict[str, Any], seconds: int) -> None:
    """Let 25 builds take a minute each, change the rule, and let one take so many seconds."""
    for _ in range(25):
        world.end("success", historic=True)
        world.now += 60
    world.change_rule(change)
    world.dispatch.step()
    end = int(world.now)
    world.end("success", created_at=end - seconds, started_at=end - seconds)
    world.settle(5)


@pytest.mark.parametrize(("factor", "count"), [(1, 1), (2, 0)])
def test_a_condition_on_what_is_usual(world: World, factor: float, count: int) -> None:
    change = {"trigger_events": ["build_succeeded"], "conditions": [{"type": "duration_over_p95", "value": factor}]}
    after_a_history(world, change, 90)
    assert len(world.inbox.posts) == count


@pytest.mark.parametrize(
    ("condition", "broken", "mended"),
    [
        ({"type": "author", "value": "alice"}, {"actor": "alice"}, {"actor": "bob"}),
        ({"type": "event", "value": "push"}, {"event": "push"}, {"event": "workflow_dispatch"}),
        ({"type": "duration_over_minutes", "value": 0.5}, {}, {"created_at": -5, "started_at": -5}),
        ({"type": "consecutive_failures", "value": 1}, {}, {}),
    ],
)
def test_who_was_told_is_told_of_the_repair_whoever_makes_it(
    world: World, condition: Any, broken: dict[str, Any], mended: dict[str, Any]
) -> None:
    world.change_rule({"conditions": [condition]})
    world.end("failure", **broken)
    world.settle(5)
    assert len(world.inbox.posts) == 1
    end = int(world.now)
    world.end("success", **{name: end + value if isinstance(value, int) else value for name, value in mended.items()})
    world.settle(5)
    assert "is repaired" in titles(world.inbox)[-1]
    # Nobody is told of the repair of what he was not told of.
    world.end("failure", branch="other", actor="carol", event="schedule")
    world.settle(5)
    before = len(world.inbox.posts)
    world.end("success", branch="third")
    world.settle(5)
    assert len(world.inbox.posts) == before


def test_that_it_was_slow_is_the_better_word(world: World) -> None:
    after_a_history(world, {"trigger_events": ["build_succeeded", "build_slow"], "conditions": []}, 200)
    assert "unusually long" in titles(world.inbox)[-1]
