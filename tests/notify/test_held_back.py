"""What a rule holds back: quiet hours, mutes, and rules that were changed while something waited."""

import json
from typing import Any

import pytest

from pipemon.store import rules
from tests.notify.inbox import Inbox
from tests.notify.world import NOW, World, titles

# The world begins on a Thursday at 08:53:20 UTC.
QUIET = {"from": "08:00", "to": "09:00", "tz": "UTC", "days": ["thu"]}
UNTIL_NINE = 400


def test_quiet_hours_hold_a_message_until_they_end(world: World, inbox: Inbox) -> None:
    world.change_rule({"quiet_hours": QUIET})
    world.end("failure")
    world.settle(30)
    assert (inbox.posts, world.states()) == ([], ["pending"])
    world.now = NOW + UNTIL_NINE
    world.settle(5)
    assert [title.endswith("failed on main") for title in titles(inbox)] == [True]


def test_what_broke_and_was_repaired_within_them_wakes_nobody(world: World, inbox: Inbox) -> None:
    world.change_rule({"quiet_hours": QUIET})
    for conclusion in ("failure", "failure", "success"):
        world.end(conclusion)
        world.settle(20)
    world.now = NOW + UNTIL_NINE
    world.settle(1000)
    assert inbox.posts == []
    why = "it broke and was repaired within quiet hours"
    assert [(row.kind, row.why) for row in world.rows()] == [
        ("opener", why), ("single", "told by message 1"), ("recovery", why),
    ]  # fmt: skip
    assert set(world.states()) == {"suppressed"}
    world.end("failure")
    world.settle(5)
    assert len(inbox.posts) == 1


def test_further_failures_within_them_are_one_message(world: World, inbox: Inbox) -> None:
    world.change_rule({"quiet_hours": QUIET})
    for _ in range(3):
        world.end("failure")
        world.settle(5)
    world.now = NOW + UNTIL_NINE
    world.settle(5)
    assert [title.endswith("failed on main") for title in titles(inbox)] == [True]
    assert "*Failures in a row*\\n3" in json.dumps(inbox.posts)
    assert world.rows()[0].represents == 3


def test_a_repair_of_what_was_told_before_them_waits_too(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.settle(5)
    world.change_rule({"quiet_hours": QUIET})
    world.end("success")
    world.settle(5)
    assert len(inbox.posts) == 1
    world.now = NOW + UNTIL_NINE
    world.settle(5)
    assert "repaired" in titles(inbox)[-1]


def test_many_that_quiet_hours_hold_are_no_outage(world: World, inbox: Inbox) -> None:
    """Nothing is folded before it is due: a digest must not go out in the night."""
    world.change_rule({"quiet_hours": {**QUIET, "from": "00:00", "to": "12:00"}, "conditions": []})
    for number in range(8):
        world.end("failure", branch=f"b{number}")
    world.settle(2)
    world.now += 2 * 3600
    world.settle(5)
    assert (inbox.posts, set(world.states())) == ([], {"pending"})


def test_what_they_held_is_no_outage_when_they_end(world: World, inbox: Inbox) -> None:
    """It comes one by one, and not before the end: in the night nobody wants a digest."""
    world.change_rule({"quiet_hours": {**QUIET, "to": "12:00"}, "conditions": []})
    for number in range(8):
        world.end("failure", branch=f"b{number}")
    world.settle(2)
    world.now = NOW + UNTIL_NINE + 3 * 3600 - 60
    world.settle(55)
    assert inbox.posts == []
    world.settle(30)
    assert sorted(titles(inbox)) == [f"🔴 CI failed on b{number}" for number in range(8)]


def test_what_was_not_taken_before_them_waits_for_their_end(world: World, inbox: Inbox) -> None:
    """Slack comes back in the night: what it could not take before is not told within the quiet hours."""
    inbox.script = lambda number, body: (503, "no", {}) if world.now < NOW + 500 else (200, "ok", {})
    world.change_rule({"quiet_hours": {**QUIET, "from": "08:55", "to": "12:00"}, "conditions": []})
    for number in range(8):
        world.end("failure", branch=f"b{number}")
    world.settle(60)
    assert inbox.posts != []
    before = len(inbox.posts)
    world.now = NOW + 2 * 3600
    world.settle(10)
    assert (len(inbox.posts), set(world.states())) == (before, {"pending"})
    world.now = NOW + UNTIL_NINE + 3 * 3600
    world.settle(20)
    told = json.dumps(inbox.posts[before:])
    assert "8 messages waited" in told
    assert sum(row.represents for row in world.rows() if row.state == "sent") == 8


def test_what_may_have_arrived_before_them_is_not_said_to_have_been_seen_by_nobody(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: None if number == 0 else (200, "ok", {})
    world.change_rule({"quiet_hours": {**QUIET, "from": "08:55"}})
    world.end("failure")
    world.settle(3)
    world.now = NOW + 200
    world.settle(5)
    world.end("success")
    world.settle(5)
    assert world.states() == ["retry", "pending"]
    world.now = NOW + UNTIL_NINE
    world.settle(10)
    assert titles(inbox)[1:] == ["(possible repeat) 🔴 CI failed on main", "🟢 CI is repaired on main"]


def test_a_restart_within_them_changes_nothing(world: World, inbox: Inbox) -> None:
    world.change_rule({"quiet_hours": QUIET})
    world.end("failure")
    world.settle(5)
    world.restart()
    world.settle(5)
    assert (inbox.posts, world.states()) == ([], ["pending"])
    world.now = NOW + UNTIL_NINE
    world.restart()
    world.settle(5)
    assert len(inbox.posts) == 1


def test_quiet_hours_that_are_set_meanwhile_hold_what_waits(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.dispatch.step()
    world.change_rule({"quiet_hours": QUIET})
    world.settle(30)
    assert (inbox.posts, world.states()) == ([], ["pending"])


def test_N6_no_digest_tells_what_a_deleted_rule_wanted(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if world.now < NOW + 7000 else (200, "ok", {})
    world.change_rule({"conditions": []})
    for number in range(12):
        world.end("failure", branch=f"b{number}")
    world.settle(60)
    world.db.transact(lambda conn: rules.delete_rule(conn, 1))
    world.now = NOW + 8000
    before = len(inbox.posts)
    world.settle(10)
    assert (len(inbox.posts), set(world.states())) == (before, {"suppressed"})
    assert {row.why for row in world.rows()} == {"its rule was deleted"}


def test_N6_a_muted_rule_tells_nothing_and_says_so(world: World, inbox: Inbox) -> None:
    world.change_rule({"muted_until": NOW + 50})
    world.end("failure")
    world.settle(5)
    assert [row.why for row in world.rows()] == ["the rule is muted until 2025-10-09T08:54:10Z"]
    world.now = NOW + 51
    world.end("failure")
    world.settle(5)
    assert len(inbox.posts) == 1


def test_N6_what_happens_in_a_mute_is_not_told_when_quiet_hours_end_after_it(world: World, inbox: Inbox) -> None:
    world.change_rule({"muted_until": NOW + 50, "quiet_hours": QUIET})
    world.end("failure")
    world.settle(5)
    world.now = NOW + UNTIL_NINE
    world.settle(5)
    assert (inbox.posts, world.states()) == ([], ["suppressed"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"enabled": False}, "its rule was disabled"),
        ({"muted_until": NOW + 9000}, "the rule is muted until 2025-10-09T11:23:20Z"),
        (None, "its rule was deleted"),
    ],
)
def test_N6_what_waits_is_not_sent_once_its_rule_says_no(world: World, inbox: Inbox, change: Any, why: str) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if number == 0 else (200, "ok", {})
    world.end("failure")
    world.settle(2)
    assert world.states() == ["retry"]
    if change is None:
        world.db.transact(lambda conn: rules.delete_rule(conn, 1))
    else:
        world.change_rule(change)
    world.settle(30)
    assert [(row.state, row.why) for row in world.rows()] == [("suppressed", why)]
    assert len(inbox.posts) == 1


def test_N6_a_mute_of_its_branch_holds_what_waits(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if number == 0 else (200, "ok", {})
    world.end("failure")
    world.settle(2)
    mute = {"mutes": [{"branch": "ma*", "workflow": "C*", "until": NOW + 900, "reason": "release day"}]}
    world.db.transact(lambda conn: rules.change_settings(conn, mute))
    world.settle(30)
    assert [(row.state, row.why) for row in world.rows()] == [("suppressed", "muted: release day")]


def test_N6_an_edited_rule_tells_what_it_had_decided(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if number == 0 else (200, "ok", {})
    world.end("failure")
    world.settle(2)
    world.change_rule({"conditions": [{"type": "branch", "value": "release/*"}]})
    world.settle(30)
    assert world.states() == ["sent"]


def test_a_rule_that_is_replaced_at_once_is_learned(world: World, inbox: Inbox) -> None:
    """Dispatch keeps the rules; one that takes the number of a deleted one is another one."""
    world.end("failure")
    world.settle(3)
    values = {"name": "r", "description": "", "trigger_events": ["build_failed"], "conditions": [], "enabled": True}

    def replaced(conn: Any) -> None:
        for number in (1, 2):
            rules.delete_rule(conn, number)
        rules.add_rule(conn, {**values, "channels": ["slack"]}, NOW)

    world.db.transact(replaced)
    world.end("failure", branch="anything")
    world.settle(3)
    assert "failed on anything" in titles(inbox)[-1]
