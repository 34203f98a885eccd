"""Slack by a bot's token: one message per incident, on the simulator's Slack."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipemon.domain.addresses import Allowed
from pipemon.domain.runs import Commit
from pipemon.domain.secrets import Secret
from pipemon.notify.channels.slack_bot import Place, SlackBot, meaning
from pipemon.notify.channels.slack_form import mentions, payload
from pipemon.notify.dispatch import GROUP_SECONDS
from pipemon.notify.message import Message, Thread, standing
from pipemon.notify.outbox import LEASE_SECONDS
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.simulator import Simulator
from pipemon.store import notifications as store
from pipemon.store.engine import Database
from tests.notify.inbox import Inbox
from tests.notify.world import World

TOKEN = "xoxb-not-a-real-one"
POST = poster(Outbound(Allowed.of(["127.0.0.1"])))


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty")
    with world.serve() as url:
        yield world, url


def bot(url: str, **more: Any) -> SlackBot:
    return SlackBot("slack", Place(f"{url}/_slack/api", Secret(TOKEN), "C0BUILDS1"), POST, **more)


@pytest.fixture
def world(database: Database, inbox: Inbox, sim: tuple[Simulator, str]) -> World:
    found = World(database, inbox)
    found.channels["slack"] = bot(sim[1])
    return found


def kept(sim: Simulator) -> list[Any]:
    return list(sim.slack.messages)


def heading(entry: Any) -> str:
    return str(entry["message"]["blocks"][0]["text"]["text"])


def test_an_incident_is_one_message_with_a_thread(world: World, sim: tuple[Simulator, str]) -> None:
    world.end("failure")
    world.settle(5)
    (opener,) = kept(sim[0])
    assert (heading(opener), opener["edits"]) == ("🔴 CI failed on main", 0)
    world.end("failure")
    world.settle(1000)
    world.end("success")
    world.settle(5)
    opener, again, repair = kept(sim[0])
    # It says how things stand, and still what broke it.
    assert (heading(opener), opener["edits"]) == ("🟢 CI is repaired on main", 2)
    assert "*Was red for*\\n16 min" in json.dumps(opener["message"])
    assert (again["thread_ts"], repair["thread_ts"]) == (opener["ts"], opener["ts"])
    assert [entry["message"].get("reply_broadcast") for entry in (again, repair)] == [None, True]
    world.end("failure")
    world.settle(5)
    assert (len(kept(sim[0])), kept(sim[0])[-1]["thread_ts"]) == (4, None)


def test_a_restart_in_between_goes_on_in_the_thread(world: World, sim: tuple[Simulator, str]) -> None:
    world.end("failure")
    world.settle(5)
    world.restart()
    world.channels["slack"] = bot(sim[1])
    world.end("success")
    world.settle(5)
    opener, repair = kept(sim[0])
    assert (heading(opener), repair["thread_ts"]) == ("🟢 CI is repaired on main", opener["ts"])


def test_D3_a_crash_before_the_record_is_repeated_marked_in_the_thread(
    world: World, sim: tuple[Simulator, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end("failure")
    world.settle(5)
    world.end("success")
    world.dispatch.step()

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(world.outbox, "_record", dies)
        world.outbox.step()
    world.now += LEASE_SECONDS + 1
    world.settle(5)
    opener, first, second = kept(sim[0])
    assert [heading(one).startswith("(possible repeat)") for one in (opener, first, second)] == [False, False, True]
    assert second["thread_ts"] == opener["ts"]


def test_an_opener_that_is_gone_is_told_anew(world: World, sim: tuple[Simulator, str]) -> None:
    world.end("failure")
    world.settle(5)
    sim[0].slack.messages.clear()
    world.end("success")
    world.settle(5)
    (repair,) = kept(sim[0])
    assert (heading(repair), repair["thread_ts"]) == ("🟢 CI is repaired on main", None)


def test_an_opener_told_by_a_webhook_is_followed_by_a_message_of_its_own(
    world: World, sim: tuple[Simulator, str], inbox: Inbox
) -> None:
    world.restart()
    world.end("failure")
    world.settle(5)
    assert len(inbox.posts) == 1
    world.channels["slack"] = bot(sim[1])
    world.end("success")
    world.settle(5)
    assert [entry["thread_ts"] for entry in kept(sim[0])] == [None]


@pytest.mark.parametrize(
    ("status", "body", "after", "kind", "wait"),
    [
        (200, {"ok": True, "channel": "C1", "ts": "1.2"}, None, "sent", None),
        (200, {"ok": False, "error": "ratelimited"}, "7", "retry", 7.0),
        (429, {}, "12", "retry", 12.0),
        (429, {}, None, "retry", 30.0),
        (200, {"ok": False, "error": "internal_error"}, None, "uncertain", None),
        (200, {"ok": False, "error": "service_unavailable"}, None, "retry", None),
        (503, "<html>", None, "retry", None),
        (200, {"ok": False, "error": "channel_not_found"}, None, "gone", None),
        (200, {"ok": False, "error": "token_revoked"}, None, "gone", None),
        (200, {"ok": False, "error": "not_in_channel"}, None, "gone", None),
        (200, {"ok": False, "error": "as_user_not_supported"}, None, "refused", None),
        (200, "ok", None, "retry", None),
        (200, "[]", None, "retry", None),
        (200, {"ok": "true"}, None, "retry", None),
        (302, "", None, "retry", None),
    ],
)
def test_what_slack_s_answers_mean(status: int, body: Any, after: str | None, kind: str, wait: float | None) -> None:
    outcome, _ = meaning(status, body if isinstance(body, str) else json.dumps(body), after)
    assert (outcome.kind, outcome.retry_after_seconds) == (kind, wait)
    assert (outcome.reference is not None) == (kind == "sent")


def no(error: str) -> dict[str, Any]:
    return {"body": json.dumps({"ok": False, "error": error})}


def thread(channel: SlackBot) -> Thread:
    opener = Message("CI failed on main", "t", "bad", (("Commit", "abc"),), occurred_at=100)
    reference = channel.send(opener).reference
    assert reference is not None
    return Thread(reference, opener)


REPAIR = Message("CI is repaired on main", "t", "good", occurred_at=400)


@pytest.mark.parametrize(
    ("answers", "kind", "count", "thread_of_last"),
    [
        ([no("ratelimited")], "retry", 1, None),  # the change was not made, so nothing was posted
        ([no("token_revoked")], "gone", 1, None),
        ([no("is_archived")], "sent", 2, None),
        ([{"silent": True}], "retry", 1, None),
        ([no("cant_update_message")], "sent", 2, None),
        ([no("invalid_blocks")], "sent", 2, "opener"),
    ],
)
def test_the_change_of_the_opener_comes_first(
    sim: tuple[Simulator, str], answers: list[Any], kind: str, count: int, thread_of_last: str | None
) -> None:
    channel = bot(sim[1])
    message = replace(REPAIR, thread=thread(channel))
    sim[0].slack.script(answers)
    outcome = channel.send(message)
    entries = kept(sim[0])
    assert (outcome.kind, len(entries)) == (kind, count)
    assert entries[-1]["thread_ts"] == (entries[0]["ts"] if thread_of_last else None)


def test_D6_a_layout_that_is_refused_is_sent_once_as_plain_text(sim: tuple[Simulator, str]) -> None:
    sim[0].slack.script([no("invalid_blocks")])
    outcome = bot(sim[1]).send(REPAIR)
    (entry,) = kept(sim[0])
    assert (outcome.kind, "blocks" in entry["message"]) == ("sent", False)
    sim[0].slack.script([no("invalid_blocks"), no("no_text")])
    assert bot(sim[1]).send(REPAIR).kind == "refused"


def test_D5_a_lost_answer_is_uncertain_and_no_connection_is_not(sim: tuple[Simulator, str]) -> None:
    sim[0].slack.script([{"silent": True}])
    assert bot(sim[1]).send(REPAIR).kind == "uncertain"
    assert bot("http://127.0.0.1:9").send(REPAIR).kind == "retry"


def test_I7_nothing_shows_the_token(sim: tuple[Simulator, str]) -> None:
    channel = bot(sim[1])
    sim[0].slack.script([no("invalid_auth")])
    shown = f"{channel!r} {channel.recipient} {channel.fingerprint} {channel.send(REPAIR)}"
    assert TOKEN not in shown
    assert TOKEN not in json.dumps(kept(sim[0]))


# People

PEOPLE = {"ada": "U024BE7LH"}


def test_who_broke_it_is_mentioned_once(world: World, sim: tuple[Simulator, str]) -> None:
    world.channels["slack"] = bot(sim[1], people=PEOPLE)
    world.end("failure", triggering_actor="Ada")
    world.settle(5)
    assert json.dumps(kept(sim[0])[0]["message"]["blocks"]).count("<@U024BE7LH>") == 1
    world.end("failure", triggering_actor="Ada")
    world.settle(1000)
    world.end("success", triggering_actor="Ada")
    world.settle(5)
    # Neither the changes of the opener nor the thread alarm anybody again.
    assert [json.dumps(entry["message"]).count("<@") for entry in kept(sim[0])] == [0, 0, 0]


@pytest.mark.parametrize(
    "over", [{"event": "schedule", "triggering_actor": "ada"}, {"triggering_actor": None, "actor": None}]
)
def test_N8_nobody_is_mentioned_for_a_clock_or_a_commit_s_name(
    world: World, sim: tuple[Simulator, str], over: dict[str, Any]
) -> None:
    """Who commits may call himself what he likes."""
    world.channels["slack"] = bot(sim[1], people=PEOPLE)
    world.end("failure", commit=Commit("x", author_name="ada"), **over)
    world.settle(5)
    assert "<@" not in json.dumps(kept(sim[0]))


@pytest.mark.parametrize("login", ["bob", "<!channel>", "ada>", "<@U024BE7LH>", "dependabot[bot]", "", "a" * 5000])
def test_N8_only_the_map_makes_a_mention(login: str) -> None:
    message = Message("x", "x", "bad", (("By", login),), people=(login,))
    assert mentions(message, PEOPLE) == ""
    sent = payload(message, PEOPLE)
    assert "<@" not in json.dumps(sent)
    assert "<!" not in json.dumps(sent)


def test_two_names_of_one_person_are_one_mention() -> None:
    both = {"ada": "U024BE7LH", "ada-work": "U024BE7LH"}
    assert mentions(Message("x", "x", people=("ada", "ada-work")), both) == "<@U024BE7LH>"


# What belongs to which incident


def test_a_summary_that_comes_after_the_repair_makes_nothing_red_again(
    world: World, sim: tuple[Simulator, str]
) -> None:
    """It was given up, and somebody has it sent again."""
    for conclusion in ("failure", "failure"):
        world.end(conclusion)
        world.settle(5)
    world.now += GROUP_SECONDS
    sim[0].slack.script([no("as_user_not_supported")])
    world.settle(5)
    world.end("success")
    world.settle(5)
    assert world.db.transact(lambda conn: store.replay(conn, "slack", world.now)) == 1
    world.settle(5)
    opener, repair, late = kept(sim[0])
    assert heading(opener) == "🟢 CI is repaired on main"
    assert (repair["thread_ts"], late["thread_ts"]) == (opener["ts"], opener["ts"])


def test_an_opener_that_was_given_up_is_not_taken_for_an_earlier_one(world: World, sim: tuple[Simulator, str]) -> None:
    for conclusion in ("failure", "success"):
        world.end(conclusion)
        world.settle(5)
    sim[0].slack.script([no("as_user_not_supported")])
    world.end("failure")
    world.settle(5)
    assert world.states()[-1] == "dead"
    world.end("success")
    world.settle(5)
    first, _, repair = kept(sim[0])
    assert (first["edits"], repair["thread_ts"]) == (1, None)


def test_a_repair_of_what_was_told_to_nobody_is_not_that_of_an_earlier_incident(
    world: World, sim: tuple[Simulator, str]
) -> None:
    world.change_rule({"trigger_events": ["build_failed", "build_recovered"]})
    for conclusion in ("failure", "success"):
        world.end(conclusion)
        world.settle(5)
    world.change_rule({"muted_until": int(world.now) + 60})
    world.end("failure")
    world.settle(5)
    world.change_rule({"muted_until": None})
    world.end("success")
    world.settle(5)
    first, _, repair = kept(sim[0])
    assert (first["edits"], repair["thread_ts"]) == (1, None)


def test_the_opener_says_how_often_it_failed_and_when_last(world: World, sim: tuple[Simulator, str]) -> None:
    for _ in range(4):
        world.end("failure")
        world.settle(1000)
    (opener, *replies) = kept(sim[0])
    assert (heading(opener), len(replies)) == ("🔴 CI failed on main: 4 in a row", 3)
    shown = json.dumps(opener["message"]["blocks"])
    assert "*Failures in a row*\\n4" in shown
    assert "*Last failure*\\n2025-10-09 09:43:20 UTC" in shown


# What becomes of the reply


def test_a_thread_that_is_not_there_loses_no_message(sim: tuple[Simulator, str]) -> None:
    channel = bot(sim[1])
    message = replace(REPAIR, thread=thread(channel))
    sim[0].slack.script([{}, no("thread_not_found")])
    outcome = channel.send(message)
    assert (outcome.kind, kept(sim[0])[-1]["thread_ts"]) == ("sent", None)


@pytest.mark.parametrize("answers", [[no("not_in_channel")], [{}, no("not_in_channel")]])
def test_another_channel_s_end_is_not_the_end_of_this_one(sim: tuple[Simulator, str], answers: list[Any]) -> None:
    """The opener may be in the channel that was set before: what is said of that one does not hold for today's."""
    known = thread(bot(sim[1]))
    sim[0].slack.script(answers)
    today = SlackBot("slack", Place(f"{sim[1]}/_slack/api", Secret(TOKEN), "C0TODAY11"), POST)
    outcome = today.send(replace(REPAIR, thread=known))
    assert (outcome.kind, kept(sim[0])[-1]["hook"]) == ("sent", "C0TODAY11")


def test_an_opener_whose_layout_is_refused_turns_green_in_plain_text(sim: tuple[Simulator, str]) -> None:
    channel = bot(sim[1])
    message = replace(REPAIR, thread=thread(channel))
    sim[0].slack.script([no("invalid_blocks")])
    assert channel.send(message).kind == "sent"
    opener, reply = kept(sim[0])
    assert (opener["edits"], opener["message"]["blocks"]) == (1, [])
    assert opener["message"]["text"].startswith("🟢 CI is repaired on main")
    assert reply["thread_ts"] == opener["ts"]


@pytest.mark.parametrize("body", [{"ok": True}, {"ok": True, "channel": None, "ts": 1.5}, {"ok": True, "ts": "1.2"}])
def test_an_answer_without_a_place_is_no_reference(body: Any) -> None:
    outcome, _ = meaning(200, json.dumps(body), None)
    assert (outcome.kind, outcome.reference) == ("sent", None)


def test_a_repair_that_comes_late_is_that_of_its_own_incident(world: World, sim: tuple[Simulator, str]) -> None:
    world.end("failure")
    world.settle(3)
    sim[0].slack.script([no("internal_error")])
    for conclusion in ("success", "failure", "success"):
        world.end(conclusion)
        world.settle(2)
    world.settle(30)
    assert set(world.states()) == {"sent"}
    openers = [entry for entry in kept(sim[0]) if entry["thread_ts"] is None]
    assert [heading(one) for one in openers] == ["🟢 CI is repaired on main"] * 2


def test_D3_a_possible_repeat_stays_marked_when_it_changes(world: World, sim: tuple[Simulator, str]) -> None:
    sim[0].slack.script([{"silent": True}])
    world.end("failure")
    world.settle(30)
    world.end("success")
    world.settle(5)
    assert [heading(entry) for entry in kept(sim[0])] == [
        "🔴 CI failed on main", "(possible repeat) 🟢 CI is repaired on main", "🟢 CI is repaired on main",
    ]  # fmt: skip


def test_what_was_said_of_the_streak_is_said_once() -> None:
    opener = Message("CI failed on main", "t", "bad", (("Failures in a row", "2"),), occurred_at=100)
    latest = replace(opener, facts=(("Failures in a row", "5"), ("At", "noon")))
    assert standing(opener, latest).facts == (("Failures in a row", "5"), ("Last failure", "noon"))


def test_all_calls_of_a_message_take_no_longer_than_one_sending() -> None:
    now, called = [0.0], []

    def slow(url: str, body: bytes, seconds: float, headers: dict[str, str]) -> tuple[int, str, None]:
        called.append((url.rsplit("/", 1)[1], seconds))
        now[0] += 9.5
        return 200, '{"ok": true, "channel": "C0BUILDS1", "ts": "1.2"}', None

    channel = SlackBot("slack", Place("https://x.example", Secret(TOKEN), "C0BUILDS1"), slow, clock=lambda: now[0])
    outcome = channel.send(replace(REPAIR, thread=Thread("C0BUILDS1 1.2", REPAIR)))
    assert (outcome.kind, called) == ("retry", [("chat.update", 10.0)])


def test_N8_slack_looks_for_nothing_in_a_text_by_itself(sim: tuple[Simulator, str]) -> None:
    channel = bot(sim[1])
    channel.send(replace(REPAIR, thread=thread(channel)))
    asked = [(entry["message"]["parse"], entry["message"]["unfurl_links"]) for entry in kept(sim[0])]
    assert asked == [("none", False)] * 2


def test_a_long_answer_is_read_to_its_end() -> None:
    """The message comes back with the answer: one of many letters that JSON escapes is not in doubt for that."""
    body = {"ok": True, "channel": "C0BUILDS1", "ts": "1.2", "message": {"text": "ж" * 40_000}}
    with Inbox(lambda number, post: (200, json.dumps(body), {})) as inbox:
        outcome = SlackBot("slack", Place(inbox.url, Secret(TOKEN), "C0BUILDS1"), POST).send(REPAIR)
    assert (outcome.kind, outcome.reference) == ("sent", "C0BUILDS1 1.2")
