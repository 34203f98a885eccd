"""How long what was told is kept."""

from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.store import history
from pipemon.store import notifications as store
from pipemon.store.schema_notifications import notifications
from pipemon.telling import Telling
from tests.notify.inbox import Inbox
from tests.notify.world import World, titles

DAY = 86400


@pytest.fixture
def telling(world: World) -> Telling:
    return Telling(world.db, world.channels, lambda: world.now, 3600, history_days=30, open_days=100)


def kinds(world: World) -> list[tuple[str, str]]:
    return [(row.kind, row.state) for row in world.rows()]


def test_I8_what_is_over_goes_and_what_is_open_stays(world: World, telling: Telling, inbox: Inbox) -> None:
    world.change_rule({"conditions": []})
    for branch, conclusions in {"over": ("failure", "failure", "success"), "open": ("failure", "failure")}.items():
        for conclusion in conclusions:
            world.end(conclusion, branch=branch)
            world.settle(1000)
    world.now += 31 * DAY
    assert telling.forget() == 3
    assert kinds(world) == [("opener", "sent"), ("summary", "sent")]
    # The open one goes on from where it was: a further failure is no new incident, and its repair is told.
    world.end("success", branch="open")
    world.settle(10)
    assert titles(inbox)[-1] == "🟢 CI is repaired on open"
    world.now += 31 * DAY
    assert telling.forget() == 3
    assert kinds(world) == []


def test_I8_what_is_open_for_ever_goes_with_its_builds(world: World, telling: Telling) -> None:
    world.end("failure")
    world.settle(5)
    world.now += 99 * DAY
    assert telling.forget() == 0
    world.now += 2 * DAY
    assert telling.forget() == 1


def test_what_waits_is_never_dropped(world: World, telling: Telling) -> None:
    """Held for a moment to come: however long that is."""
    world.end("failure")
    world.dispatch.step()
    held = sa.update(notifications).values(due_at=world.now + 200 * DAY)
    world.db.transact(lambda conn: conn.execute(held))
    world.now += 150 * DAY
    assert telling.forget() == 0
    assert world.states() == ["pending"]


def test_D7_what_a_gone_channel_never_took_is_given_up_after_three_days_and_kept(
    world: World, telling: Telling, inbox: Inbox
) -> None:
    world.outbox.step()
    world.db.transact(lambda conn: store.note_channel(conn, "slack", disabled_why="Slack answered 404 no_service"))
    world.end("failure")
    world.settle(5)
    world.now += 2 * DAY
    telling.forget()
    assert world.states() == ["pending"]
    world.now += 2 * DAY
    telling.forget()
    assert [(row.state, row.error) for row in world.rows()] == [("dead", "its channel took nothing for three days")]
    world.db.transact(lambda conn: store.note_channel(conn, "slack", disabled_why=None))
    world.db.transact(lambda conn: store.replay(conn, "slack", world.now))
    world.settle(5)
    assert len(inbox.posts) == 1


def test_it_goes_in_slices(world: World, telling: Telling, monkeypatch: Any) -> None:
    for number in range(7):
        intent = store.Intent(f"k{number}", "slack", "r", "single", "{}", "t", world.now, world.now, state="sent")
        world.db.transact(lambda conn, one=intent: store.add(conn, one))
    monkeypatch.setattr(history, "SLICE", 3)
    monkeypatch.setattr("pipemon.telling.MOST_SLICES", 2)
    world.now += 31 * DAY
    assert [telling.forget(), telling.forget(), telling.forget()] == [6, 1, 0]


def test_the_newest_digest_stays_so_that_no_restart_takes_it_for_a_fresh_install(
    world: World, telling: Telling
) -> None:
    for number in range(3):
        more = {"group_key": "pipemon|digest", "state": "sent"}
        intent = store.Intent(f"k{number}", "slack", "r", "digest", "{}", "t", world.now, world.now, **more)
        world.db.transact(lambda conn, one=intent: store.add(conn, one))
    world.now += 31 * DAY
    assert telling.forget() == 2
    assert kinds(world) == [("digest", "sent")]
