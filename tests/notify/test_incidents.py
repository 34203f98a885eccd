"""Which messages are of one incident, and in which order they come."""

import json
from typing import Any

import sqlalchemy as sa

from pipemon.notify.dispatch import GROUP_SECONDS
from pipemon.store import lineage
from pipemon.store.schema_notifications import notifications
from tests.notify.inbox import Inbox
from tests.notify.world import NOW, SHOP, World, titles

RED, GREEN = "🔴 CI failed on main", "🟢 CI is repaired on main"


def test_N4_a_repair_never_overtakes_what_told_that_it_broke(world: World, inbox: Inbox) -> None:
    """Slack is away for a moment: who comes back must not read last that main is red."""
    inbox.script = lambda number, body: (503, "no", {}) if number == 0 else (200, "ok", {})
    world.end("failure")
    world.settle(2)
    world.end("success")
    world.settle(60)
    assert titles(inbox)[1:] == [RED, GREEN]


def test_N4_a_summary_that_waits_is_told_with_the_repair(world: World, inbox: Inbox) -> None:
    """Nothing that says that it is red comes after the word that it is repaired."""
    for conclusion in ("failure", "failure", "failure", "success"):
        world.end(conclusion)
        world.settle(5)
    world.settle(GROUP_SECONDS + 60)
    assert titles(inbox) == [RED, GREEN]
    rows = world.rows()
    assert sum(row.represents for row in rows if row.state == "sent") == 4
    assert [row.why for row in rows if row.kind == "summary"] == [f"told by message {rows[-1].id}"]


def test_what_holds_up_an_incident_holds_up_no_other(world: World, inbox: Inbox) -> None:
    inbox.script = lambda number, body: (503, "no", {}) if "main" in body["text"] else (200, "ok", {})
    world.change_rule({"conditions": []})
    world.end("failure")
    world.settle(2)
    world.end("success")
    world.end("failure", branch="topic")
    world.settle(5)
    assert "🔴 CI failed on topic" in titles(inbox)
    assert GREEN not in titles(inbox)


def test_N4_of_a_branch_that_flaps_two_hundred_times_few_messages_are_made(world: World, inbox: Inbox) -> None:
    for _ in range(200):
        for conclusion in ("failure", "success"):
            world.end(conclusion)
            world.settle(2)
    world.settle(GROUP_SECONDS)
    told = titles(inbox)
    assert told[::2] == [RED] * (len(told) // 2)
    assert told[1::2] == [GREEN] * (len(told) // 2), "a repair without its opener"
    # 200 times in 15 minutes, and what is left after them.
    assert 6 <= len(told) <= 12
    rows = world.rows()
    why = "it broke and was repaired again before it was told"
    assert all(row.state == "sent" or row.why.startswith((why, "told by message")) for row in rows)
    assert sum(row.event_type == "build_failed" for row in rows) == 200


def test_a_branch_that_flaps_and_stays_red_is_told_within_the_interval(world: World, inbox: Inbox) -> None:
    for _ in range(4):
        for conclusion in ("failure", "success"):
            world.end(conclusion)
            world.settle(2)
    world.end("failure")
    world.settle(GROUP_SECONDS)
    assert titles(inbox)[-1] == RED


def test_N6_a_new_incident_is_opened_though_the_end_of_the_last_was_muted(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.settle(5)
    world.change_rule({"enabled": False})
    world.end("success")
    world.settle(5)
    world.change_rule({"enabled": True})
    world.end("failure")
    world.settle(5)
    assert titles(inbox) == [RED, RED]
    assert [row.kind for row in world.rows()] == ["opener", "opener"]


def test_of_builds_that_end_in_another_order_the_incident_is_one(world: World, inbox: Inbox) -> None:
    """The earlier of two builds fails later: it is the same incident, not a new one."""
    world.end("success")
    world.end("failure", id=900, run_number=900)
    world.settle(5)
    world.end("failure", id=800, run_number=800)
    world.settle(5)
    assert titles(inbox) == [RED]
    assert [row.kind for row in world.rows()] == ["opener", "summary"]


def test_more_failures_than_are_counted_are_one_incident(world: World, inbox: Inbox, monkeypatch: Any) -> None:
    monkeypatch.setattr(lineage, "LONGEST_STREAK", 3)
    for _ in range(8):
        world.end("failure")
        world.settle(1)
    assert [row.kind for row in world.rows() if row.kind != "single"] == ["opener", "summary"]


def test_N8_a_fork_s_main_is_neither_ours_nor_another_fork_s(world: World, inbox: Inbox) -> None:
    """Its author chooses the name: he must not close what is told of ours, nor hide that ours breaks."""
    wanted = [{"type": "event", "value": ["push", "pull_request"]}]
    world.change_rule({"conditions": wanted})
    evil, other = ({"head_repository": f"{name}/shop", "event": "pull_request"} for name in ("evil", "other"))
    world.end("failure", **evil)
    world.settle(5)
    world.end("failure")
    world.end("failure", **other)
    world.settle(5)
    assert titles(inbox) == [RED] * 3
    world.end("success", **evil)
    world.settle(5)
    assert titles(inbox)[3:] == [GREEN]
    with world.db.read() as conn:
        keys = list(conn.execute(sa.select(notifications.c.group_key).order_by(notifications.c.id)).scalars())
    assert len(set(keys)) == 3
    assert keys[3] == keys[0]
    assert keys[1] == f"1|slack|{SHOP}|{keys[1].split('|')[3]}|main"


def test_a_fork_s_branch_is_no_branch_of_a_rule_s(world: World, inbox: Inbox) -> None:
    both = [{"type": "event", "value": "pull_request"}, {"type": "branch", "value": ["main", "@default"]}]
    world.change_rule({"conditions": both})
    world.end("failure", head_repository="evil/shop", event="pull_request")
    world.settle(5)
    assert inbox.posts == []
    world.end("failure", event="pull_request")
    world.settle(5)
    assert len(inbox.posts) == 1


def test_a_repair_says_for_how_long_it_was_red_and_a_further_failure_since_when(world: World, inbox: Inbox) -> None:
    world.end("failure")
    world.settle(5)
    world.end("failure")
    world.settle(1000)
    assert "*Red since*\\n2025-10-09 08:53:20 UTC" in json.dumps(inbox.posts[1])
    world.end("success")
    world.settle(5)
    assert "*Was red for*\\n16 min 45 s" in json.dumps(inbox.posts[2])
    assert "Red since" not in json.dumps(inbox.posts[0]) + json.dumps(inbox.posts[2])


def test_D10_a_digest_says_what_still_is_red(world: World, inbox: Inbox) -> None:
    """The last word of each branch, red ones first; what it has no room for is in the history."""
    world.settle(1)
    inbox.script = lambda number, body: (503, "no", {}) if world.now < NOW + 7000 else (200, "ok", {})
    world.change_rule({"conditions": []})
    for number in range(12):
        world.end("failure", branch=f"b{number}")
        if number < 3:
            world.end("success", branch=f"b{number}")
    world.settle(20)
    world.now = NOW + 8000.0
    before = len(inbox.posts)
    world.settle(5)
    (post,) = inbox.posts[before:]
    assert post["blocks"][0]["text"]["text"] == "🟠 15 messages waited while this channel could not be reached"
    fields = [field["text"] for block in post["blocks"] for field in block.get("fields", ())]
    told = [f"CI failed on b{number} ({SHOP})" for number in range(3, 12)]
    assert [field.split("\n")[1] for field in fields] == [*told, "3 others are in the history of notifications"]
    assert fields[0].startswith("*🔴 2025-10-09 08:53:21 UTC*")
