"""What becomes of a message between its claim and its record, and that no channel holds up another."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from pipemon.domain.addresses import Allowed
from pipemon.domain.events import Event
from pipemon.domain.secrets import Secret
from pipemon.ingest.apply import tell
from pipemon.notify.channel import Outcome
from pipemon.notify.channels.slack import Slack
from pipemon.notify.dispatch import Dispatch
from pipemon.notify.message import Message
from pipemon.notify.outbox import LEASE_SECONDS, Outbox
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.store import backlog, rules
from pipemon.telling import Telling
from tests.notify.inbox import Inbox
from tests.notify.world import World, titles


@dataclass
class Doing:
    """A channel that does what it is told to."""

    do: Any
    name: str = "slack"
    kind: str = "slack"
    recipient: str = "slack …"
    per_second: float = 1.0
    fingerprint: str = "x"

    def send(self, message: Message) -> Outcome:
        outcome: Outcome = self.do(message)
        return outcome


def another(name: str, inbox: Inbox) -> Slack:
    return Slack(name, Secret(inbox.url), poster(Outbound(Allowed.of(["127.0.0.1"]))))


def to_both(world: World) -> None:
    """Let failures be told to `pager` as well."""
    names = {"slack": "slack …", "pager": "slack …"}
    world.dispatch = Dispatch(world.db, lambda: world.now, names, 3600)
    world.change_rule({"channels": ["pager", "slack"], "conditions": []})


@pytest.mark.parametrize("late", ["retry", "uncertain", "refused", "gone"])
def test_D3_who_comes_back_late_undoes_nothing(world: World, inbox: Inbox, late: str) -> None:
    """One process stands still while it sends; another sends again, marked; then the first one wakes up."""
    world.end("failure")
    world.dispatch.step()

    def stand_still(message: Message) -> Outcome:
        world.now += LEASE_SECONDS + 1
        world.settle(3)
        return Outcome(late, "too late")

    Outbox(world.db, {"slack": Doing(stand_still)}, lambda: world.now).step()
    world.settle(60)
    assert [text.startswith("(possible repeat)") for text in inbox.texts] == [True]
    assert [(row.state, row.tries) for row in world.rows()] == [("sent", 2)]


def test_D9_a_message_that_no_channel_can_even_make_holds_nobody_up(world: World, inbox: Inbox) -> None:
    """A fault of ours in a channel: it is tried as often as others, and then given up."""
    real = world.channels["slack"]

    def send(message: Message) -> Outcome:
        if "poison" in message.title:
            raise ZeroDivisionError
        return real.send(message)

    world.outbox = Outbox(world.db, {"slack": Doing(send)}, lambda: world.now)
    world.change_rule({"conditions": []})
    for number in range(5):
        world.end("failure", branch="poison" if number == 1 else f"b{number}")
    for _ in range(40):
        world.settle(2)
        world.now += 300
    assert sorted(world.states()) == ["dead", "sent", "sent", "sent", "sent"]
    assert [row.error for row in world.rows() if row.state == "dead"] == [
        "pipemon failed to send it (ZeroDivisionError)"
    ]


def test_D9_an_event_that_nobody_foresaw_silences_none_after_it(world: World, inbox: Inbox) -> None:
    world.change_rule({"trigger_events": ["budget_low", "build_failed"], "conditions": []})
    world.db.transact(
        lambda conn: tell(conn, lambda _: [Event("budget_low", "pipeline", "", "b", int(world.now))], 0.0)
    )
    world.end("failure")
    world.settle(5)
    assert titles(inbox) == ["🔴 CI failed on main"]


def test_D4_while_one_channel_waits_the_others_go_on(world: World, inbox: Inbox) -> None:
    with Inbox(lambda number, body: (429, "", {"Retry-After": "600"})) as pager:
        world.channels |= {"pager": another("pager", pager)}
        to_both(world)
        for number in range(10):
            world.end("failure", branch=f"b{number}")
        began = world.now
        world.settle(10)
        assert len(pager.posts) == 1, "sends inside the window"
    sent = [row.sent_at - began for row in world.rows() if row.channel == "slack"]
    assert sent == [float(number) for number in range(10)], "one a second, as without the other"


def test_D5_a_channel_that_hangs_holds_up_no_other(world: World, inbox: Inbox) -> None:
    """As the service runs it: the pager takes the bytes and never answers."""
    hangs, began = threading.Event(), time.monotonic()
    world.channels = {"pager": Doing(lambda _: Outcome("retry", str(hangs.wait(30))), "pager"), **world.channels}
    to_both(world)
    telling = Telling(world.db, world.channels, lambda: world.now + time.monotonic() - began, 3600)
    work = telling.job(lambda conn: None, lambda: True)
    for number in range(3):
        world.end("failure", branch=f"b{number}")
    try:
        while len(inbox.posts) < 3 and time.monotonic() < began + 25:
            work()
        assert len(inbox.posts) == 3
        world.end("failure", branch="later")
        while len(inbox.posts) < 4 and time.monotonic() < began + 25:
            work()
        assert len(inbox.posts) == 4
        assert [row.state for row in world.rows() if row.channel == "pager"].count("leased") == 1
    finally:
        hangs.set()


def test_D10_of_very_many_that_waited_there_are_several_digests(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement has its bounds, and every event its place."""
    monkeypatch.setattr(backlog, "MOST_FOLDED", 6)
    inbox.script = lambda number, body: (503, "no", {}) if number == 0 else (200, "ok", {})
    world.change_rule({"conditions": []})
    for number in range(20):
        world.end("failure", branch=f"b{number}")
    while world.dispatch.step():
        pass
    world.now += 2 * 3600
    world.settle(20)
    rows = world.rows()
    assert sum(row.represents for row in rows if row.state == "sent") == 20
    assert sum(row.kind == "digest" for row in rows) == 3
    assert len(inbox.posts) < 10
    assert {row.state for row in rows} == {"sent", "suppressed"}


def test_N7_that_nobody_is_told_any_more_is_known(world: World) -> None:
    telling = Telling(world.db, world.channels, lambda: world.now, 3600)
    assert telling.age_seconds() is None

    def fails(conn: Any) -> None:
        raise ZeroDivisionError

    world.end("failure")
    broken = telling.job(fails, lambda: True)
    with pytest.raises(ZeroDivisionError):
        broken()
    assert telling.age_seconds() is None
    telling.job(lambda conn: None, lambda: True)()
    age = telling.age_seconds()
    assert age is not None
    assert age < 5
    assert "secretpart" not in json.dumps(world.inbox.posts)


def test_I8_of_very_many_that_may_not_go_some_are_asked_at_a_time(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold up neither the database nor, for long, what another rule tells."""
    monkeypatch.setattr("pipemon.notify.choice.MOST_ASKED", 3)
    other = {"name": "o", "description": "", "trigger_events": ["build_failed"], "channels": ["slack"]}
    only = {"conditions": [{"type": "branch", "value": "last"}], "enabled": True}
    world.change_rule({"conditions": [{"type": "branch", "value": "!last"}]})
    world.db.transact(lambda conn: rules.add_rule(conn, other | only, int(world.now)))
    for branch in (*(f"b{number}" for number in range(8)), "last"):
        world.end("failure", branch=branch)
    while world.dispatch.step():
        pass
    world.db.transact(lambda conn: rules.delete_rule(conn, 1))
    asked = []
    for _ in range(3):
        world.outbox.step()
        asked.append(world.states().count("suppressed"))
    assert asked == [3, 6, 8]
    assert titles(inbox) == ["🔴 CI failed on last"]
