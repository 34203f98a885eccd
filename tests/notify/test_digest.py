"""The digest: read in ten seconds, told once a period whatever happens, and true to the overview."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from pipemon.app import create_app
from pipemon.digesting import Reader, _time, chore_of
from pipemon.domain.addresses import Allowed
from pipemon.domain.cron import parse_cron
from pipemon.domain.secrets import Secret
from pipemon.notify.channels.slack import Slack
from pipemon.notify.channels.slack_form import payload
from pipemon.notify.digest import Facts, Number, Thing, message
from pipemon.notify.digests import CHANNEL, LATEST_SECONDS, Digests, Plan
from pipemon.notify.outbox import Outbox
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.queries import freshness
from pipemon.queries.freshness import Snapshot
from pipemon.store.engine import Database
from pipemon.store.schema import coverage
from pipemon.store.schema_notifications import notifications
from tests.api.conftest import make_settings
from tests.conftest import Clock
from tests.notify.inbox import Inbox
from tests.rows import a_job, a_repository, a_run, a_workflow, put

DAY = 86400
EIGHT = int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp())  # a Monday
HOSTILE = "<!channel> *bold* `x` & <https://evil.example|click>"


def some_facts(**over: Any) -> Facts:
    numbers = (
        Number("Builds", 54, change=12, decimals=0),
        Number("Success rate", 96.3, " %", -1.25),
        Number("Average duration", 6.14, " min", 0.02),
        Number("Time to recovery", None, " min"),
    )
    things = (Thing("CI on main of acme/shop has been red for 5 h, 3 failures", "https://github.com/acme/shop/1"),)
    values: dict[str, Any] = {
        "days": 1, "from_at": EIGHT - DAY, "to_at": EIGHT, "builds": 54, "success_rate": 96.3, "numbers": numbers,
        "things": things, "links": (("All numbers", "https://ci.example.com/api/v1/analytics/overview"),),
    }  # fmt: skip
    return Facts(**values | over)


def test_the_message_as_a_person_reads_it() -> None:
    told = payload(message(some_facts()))
    header, numbers, worst, foot = told["blocks"]
    assert header["text"]["text"] == "🟠 CI, last 24 hours: 96.3 % of 54 builds succeeded"
    assert [field["text"] for field in numbers["fields"]] == [
        "*Builds*\n54 ▲ 12", "*Success rate*\n96.3 % ▼ 1.2", "*Average duration*\n6.1 min =", "*Time to recovery*\n–",
    ]  # fmt: skip
    assert worst["text"]["text"] == (
        "*Worst*\n1. <https://github.com/acme/shop/1|CI on main of acme/shop has been red for 5 h, 3 failures>"
    )
    assert foot["elements"][0]["text"] == "<https://ci.example.com/api/v1/analytics/overview|All numbers>"
    assert told["text"].startswith("🟠 CI, last 24 hours: 96.3 % of 54 builds succeeded")
    # Ten seconds at 240 words a minute.
    shown = json.dumps([numbers, worst], ensure_ascii=False).count(" ")
    assert shown < 60


def test_long_times_are_told_in_hours() -> None:
    assert _time("Time to recovery", 7140, 30).text == "119 min  ▲ 30"
    assert _time("Time to recovery", 83_538, -1512.6).text == "23.2 h  ▼ 25.2"
    assert _time("Time to recovery", None, None).text == "–"


def test_what_is_quiet_says_so_and_what_is_old_or_not_whole_too() -> None:
    quiet = message(some_facts(things=(), builds=0, numbers=(), days=7, links=()))
    assert quiet.heading == "🔵 CI, last 7 days: no builds"
    assert "Nothing stands out." in str(quiet.blocks)
    assert message(some_facts(things=())).severity == "good"
    old = message(some_facts(is_fresh=False, is_complete=False))
    assert ("As of", "2026-03-02 08:00:00 UTC") in old.facts
    assert "not all of this window" in str(old.blocks[-1])


def test_only_the_worst_three_and_nobody_else_speaks() -> None:
    told = message(
        some_facts(things=tuple(Thing(f"{HOSTILE} {n} " + "x" * 5000, f"https://x.example/{n}|>") for n in range(9)))
    )
    text = str(told.blocks)
    assert text.count("https://x.example/") == 3
    assert "<!channel>" not in text and "<https://evil" not in text
    assert "%7C%3E|" in text
    for block in told.blocks:
        assert len(block.get("text", {}).get("text", "")) <= 3000
    # Slack takes at most 150 characters there.
    assert len(told.blocks[0]["text"]["text"]) <= 150


class Station:
    """Digests that are looked for again and again, on a clock that is moved, over restarts."""

    def __init__(self, db: Database, now: float, *plans: Plan) -> None:
        self.db, self.now, self.read = db, now, list[tuple[int, int]]()
        self.plans = plans or (Plan("daily", parse_cron("0 8 * * *"), 1), Plan("weekly", parse_cron("0 8 * * 1"), 7))
        self.restart()

    def restart(self) -> None:
        self.digests = Digests(self.db, self.plans, ZoneInfo("UTC"), self._facts, lambda: self.now)

    def _facts(self, days: int, due_at: int) -> Facts:
        self.read.append((days, due_at))
        return some_facts(days=days, to_at=due_at)

    def step(self, recipients: Any = None) -> int:
        return self.digests.step({CHANNEL: "slack …abcd"} if recipients is None else recipients)

    def told(self) -> list[Any]:
        with self.db.read() as conn:
            return list(conn.execute(sa.select(notifications).order_by(notifications.c.id)))


def test_each_period_is_told_once_over_restarts(database: Database) -> None:
    station = Station(database, EIGHT - 60)
    for _ in range(3 * 24 * 6):
        station.now += 600
        station.step()
        station.restart()
    assert [row.dedupe_key for row in station.told()] == [
        f"digest:daily:{EIGHT}", f"digest:weekly:{EIGHT}", f"digest:daily:{EIGHT + DAY}",
        f"digest:daily:{EIGHT + 2 * DAY}",
    ]  # fmt: skip
    assert station.read == [(1, EIGHT), (7, EIGHT), (1, EIGHT + DAY), (1, EIGHT + 2 * DAY)]
    assert {(row.channel, row.kind, row.state, row.rule_id) for row in station.told()} == {
        (CHANNEL, "digest", "pending", None)
    }


def test_two_processes_tell_it_once(database: Database) -> None:
    one, other = Station(database, EIGHT - 60), Station(database, EIGHT - 60)
    one.now = other.now = EIGHT + 5
    assert (one.step(), other.step()) == (2, 0)


def test_nothing_is_told_without_the_channel_nor_before_it_is_due(database: Database) -> None:
    station = Station(database, EIGHT - 60)
    station.step()
    station.now = EIGHT + 60
    assert station.step({"slack": "slack …"}) == 0
    assert station.told() == station.read == []


def test_a_fresh_install_does_not_begin_with_yesterday(database: Database) -> None:
    station = Station(database, EIGHT + 3600)
    assert station.step() == 0
    station.now = EIGHT + DAY
    assert station.step() == 1


def test_one_that_was_missed_is_told_late_but_not_too_late(database: Database) -> None:
    station = Station(database, EIGHT - 60)
    station.now = EIGHT
    station.step()
    for late, told in ((LATEST_SECONDS + 1, 0), (DAY + LATEST_SECONDS, 1)):
        station.now = EIGHT + DAY + late
        station.restart()
        assert station.step() == told


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as found:
        yield found


def fill(db: Database) -> None:
    """Main of the shop is red since the morning; one job is flaky; the day before was better."""
    a_repository(db, last_success_at=EIGHT, due_by=EIGHT + 600)
    put(db, coverage, {"repository_id": 1, "from_at": 0, "to_at": EIGHT, "complete": True})
    a_workflow(db, 7, "CI")
    for number in range(12):
        red = number >= 10
        run = a_run(
            db, id=number + 1, run_number=number, created_at=EIGHT - 2 * DAY + number * 14000 + 300,
            conclusion="failure" if red else "success", sha=f"{number // 2:040x}",
            commit_message=HOSTILE, branch="main",
        )  # fmt: skip
        if number > 7:
            failed = [[1, "Test", "completed", "failure", 1, 2]]
            a_job(db, run, name="test", run_attempt=1, conclusion="failure", steps=failed)
            a_job(db, run, name="test")


def snapshot(db: Database) -> Snapshot:
    with db.read() as conn:
        return freshness.read(conn)


def test_it_says_what_the_overview_says(database: Database, tmp_path: Any) -> None:
    fill(database)
    settings = make_settings(tmp_path, public_url="https://ci.example.com")
    found = Reader(settings, database, lambda: snapshot(database))(1, EIGHT)
    assert (found.builds, found.success_rate, found.is_fresh, found.is_complete) == (5, 60.0, True, True)
    numbers = {number.name: number for number in found.numbers}
    assert (numbers["Builds"].value, numbers["Builds"].change) == (5, -2)
    assert (numbers["Success rate"].value, numbers["Success rate"].change) == (60.0, -40.0)
    texts = [thing.text for thing in found.things]
    assert texts[0] == "CI on main of acme/shop-1 has been red for 9 h, 2 failures"
    assert texts[1].startswith("CI / test of acme/shop-1 is flaky: on 2 of 2 commits")
    assert found.things[0].url == "https://github.com/acme/shop-1/actions/runs/11"
    assert found.things[1].url is not None
    assert [name for name, _ in found.links] == ["All numbers", "Failed builds"]
    assert "result=failed" in found.links[1][1]
    alone = Reader(make_settings(tmp_path), database, lambda: snapshot(database))(7, EIGHT)
    assert (alone.builds, alone.links) == (12, ())


def test_what_became_slower_within_the_window_is_told_and_what_did_before_is_not(
    database: Database, tmp_path: Any
) -> None:
    a_repository(database, last_success_at=EIGHT + DAY, due_by=EIGHT + 2 * DAY)
    a_workflow(database, 7, "CI")
    for number in range(60):
        seconds = 600 if number >= 45 else 100
        at = EIGHT - DAY + (number - 42) * 3600
        a_run(database, id=number + 1, run_number=number, created_at=at, duration_seconds=seconds)

    def texts(at: int) -> list[str]:
        return [
            thing.text for thing in Reader(make_settings(tmp_path), database, lambda: snapshot(database))(1, at).things
        ]

    assert texts(EIGHT) == ["CI of acme/shop-1: duration +500 seconds since run 45"]
    assert texts(EIGHT + DAY) == []


def test_what_was_not_read_is_said(database: Database, tmp_path: Any) -> None:
    a_repository(database, last_success_at=EIGHT - 7200, due_by=EIGHT - 7000)
    found = Reader(make_settings(tmp_path), database, lambda: snapshot(database))(1, EIGHT)
    assert (found.is_fresh, found.is_complete, found.to_at) == (False, False, EIGHT - 7200)


def test_from_the_clock_to_the_inbox(database: Database, inbox: Inbox, tmp_path: Any) -> None:
    fill(database)
    clock = Clock(EIGHT - 60)
    channel = Slack(CHANNEL, Secret(inbox.url), poster(Outbound(Allowed.of(["127.0.0.1"]))))
    settings = make_settings(tmp_path)
    for _ in range(3):
        recipients = {CHANNEL: channel.recipient}
        chore = chore_of(settings, database, lambda: snapshot(database), recipients, clock)
        outbox = Outbox(database, {CHANNEL: channel}, clock)
        for _ in range(20):
            clock.now += 10
            chore.work()
            outbox.step()
    assert [post["blocks"][0]["text"]["text"] for post in inbox.posts] == [
        "🟠 CI, last 24 hours: 60 % of 5 builds succeeded",
        "🟠 CI, last 7 days: 83.3 % of 12 builds succeeded",
    ]
    assert "has been red for 9 h" in inbox.texts[0]


def test_the_service_looks_for_digests(tmp_path: Any, sqlite_template: Any) -> None:
    settings = make_settings(tmp_path, slack_analytics_webhook_url=Secret("https://hooks.slack.com/services/T/B/x"))
    shutil.copy(sqlite_template, settings.database_url.removeprefix("sqlite:///"))
    app = create_app(settings)
    (chore,) = [one for one in app.extensions["pipemon.background"]._work.chores if one.name == "digest"]
    assert chore.work() == 0  # a fresh install waits for the next one


def test_digests_that_are_off(database: Database, tmp_path: Any) -> None:
    clock = Clock(EIGHT - 60)
    settings = make_settings(tmp_path, digest_daily=None, digest_weekly=None)
    chore = chore_of(settings, database, lambda: snapshot(database), {CHANNEL: "x"}, clock)
    clock.now = EIGHT + 5
    assert chore.work() == 0
