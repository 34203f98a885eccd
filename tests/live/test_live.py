"""Subscriptions, resumption, and what each kind of bad client comes to."""

import contextlib
import json
import random
import time
from typing import Any

import gevent
import pytest
from wsproto.frame_protocol import Opcode

from pipemon.live import feed as feed_room
from pipemon.live import session as session_room
from pipemon.live import socket as socket_room
from pipemon.live.feed import Feed
from pipemon.live.hub import Hub
from pipemon.store.events import Position
from pipemon.store.schema import event_log, events
from tests.live.client import masked
from tests.live.conftest import Peer, World


def say(peer: Peer, **message: Any) -> None:
    peer.send(masked(json.dumps(message).encode()))


def subscribe(peer: Peer, *topics: str, **more: Any) -> Any:
    """Subscribe and return the confirmation."""
    heard = len(peer.heard)
    say(peer, type="subscribe", events=list(topics or ["builds"]), **more)
    peer.until(lambda: len(peer.heard) > heard)
    return json.loads(peer.heard[heard])


def ids(peer: Peer) -> list[int]:
    """Return the ids of the updates heard."""
    return [message["id"] for message in map(json.loads, peer.heard) if "id" in message]


def settle(peer: Peer) -> None:
    """Take what comes until nothing more does."""
    for _ in range(10):
        peer.take()


def test_topics_repositories_and_branches_filter(world: World) -> None:
    wanted = {
        "all": {"topics": ["builds", "pipeline"]},
        "repository": {"topics": ["builds"], "repositories": ["ACME/shop-2"]},
        "branch": {"topics": ["builds", "pipeline"], "branches": ["next"]},
    }
    peers = {}
    for name, asked in wanted.items():
        peers[name] = world.connect()
        assert subscribe(peers[name], *asked.pop("topics"), **asked)["last_event_id"] == 0
    world.append("build_started")
    world.append("build_started", repository="acme/shop-2", branch="next")
    world.append("pipeline_updated", topic="pipeline", branch=None)
    world.append("analytics_updated", topic="analytics", branch=None)
    world.feed.look()
    for peer in peers.values():
        settle(peer)
    assert {name: ids(peer) for name, peer in peers.items()} == {"all": [1, 2, 3], "repository": [2], "branch": [2, 3]}


def test_a_second_subscription_adds_and_unsubscribing_takes_away(world: World) -> None:
    peer = world.connect()
    subscribe(peer, "builds", branches=["main"])
    assert subscribe(peer, "pipeline")["events"] == ["builds", "pipeline"]
    say(peer, type="unsubscribe", events=["builds"])
    settle(peer)
    assert json.loads(peer.heard[-1])["events"] == ["pipeline"]
    world.append("build_started")
    world.append("pipeline_updated", topic="pipeline")
    world.feed.look()
    settle(peer)
    assert ids(peer) == [2]


def test_a_wrong_message_changes_nothing_and_the_connection_stays(world: World) -> None:
    peer = world.connect()
    subscribe(peer)
    for wrong in (b"{", b'{"type":"subscribe","events":["sheep"]}'):
        peer.send(masked(wrong))
    assert subscribe(peer, "builds", repositories=["acme/other"])["error"]["type"] == "bad_request"
    settle(peer)
    kinds = [json.loads(text)["error"]["type"] for text in peer.heard[1:]]
    assert kinds == ["bad_request", "validation_error", "validation_error"]
    assert "not watched" in json.loads(peer.heard[-1])["error"]["details"]["repositories"][0].lower()
    world.append("build_started")
    world.feed.look()
    settle(peer)
    assert ids(peer) == [1]


def test_history_is_told_on_resume_and_never_live(world: World) -> None:
    live = world.connect()
    subscribe(live)
    world.append("build_failed", historic=True)
    world.append("build_started")
    world.feed.look()
    back = world.connect()
    subscribe(back, last_event_id=0)
    back.until(lambda: len(ids(back)) == 2)
    settle(live)
    assert (ids(live), ids(back)) == ([2], [1, 2])


def test_R1_whatever_the_moment_of_the_cut_nothing_is_missed_or_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients come and go while events are appended and told, in a random order of all steps."""
    monkeypatch.setattr(feed_room, "PAGE", 7)
    world.feed._window = type(world.feed._window)(maxlen=13)
    rng = random.Random(1)
    seen: dict[int, list[int]] = {number: [] for number in range(12)}
    peers: dict[int, Peer] = {}

    def cut(number: int) -> None:
        peer = peers.pop(number)
        peer.take(rng.randint(0, 4000))  # in the middle of a frame, mostly
        seen[number] += ids(peer)
        peer.sock.close()

    for _ in range(300):
        number, step = rng.randrange(len(seen)), rng.random()
        if step < 0.3:
            world.append(*["build_started"] * rng.randint(1, 9), size=rng.randint(0, 400))
        elif step < 0.5:
            world.feed.look()
        elif number in peers:
            cut(number)
        else:
            peers[number] = world.connect(small=rng.random() < 0.3)
            say(peers[number], type="subscribe", events=["builds"], last_event_id=(seen[number] or [0])[-1])
    world.feed.look()
    for number in seen:
        if number not in peers:
            peers[number] = world.connect()
            say(peers[number], type="subscribe", events=["builds"], last_event_id=(seen[number] or [0])[-1])
        peer, end = peers[number], world.feed.position
        assert end is not None
        peer.until(lambda peer=peer, number=number, end=end: (seen[number] + ids(peer))[-1:] == [end.last_id])
        assert seen[number] + ids(peer) == list(range(1, end.last_id + 1))


def test_R2_an_offset_that_the_log_can_t_serve_is_told_so(world: World) -> None:
    world.append(*["build_started"] * 9)
    world.feed.look()
    end = world.feed.position
    assert end is not None
    for asked, reason in (
        ({"last_event_id": 99}, "ahead"),
        ({"last_event_id": 3, "epoch": "another"}, "epoch"),
        ({"last_event_id": 9, "epoch": "another"}, "epoch"),
    ):
        peer = world.connect()
        assert subscribe(peer, **asked)["last_event_id"] == 9
        settle(peer)
        told = json.loads(peer.heard[1])
        assert (told["type"], told["last_event_id"], told["epoch"]) == ("resync", 9, end.epoch)
        assert told["reason"].startswith(reason)
    good = world.connect()
    subscribe(good, last_event_id=3, epoch=end.epoch)
    good.until(lambda: ids(good) == [4, 5, 6, 7, 8, 9])
    for wrong in ("3", -1, 1.5, True, 2**63):
        assert subscribe(world.connect(), last_event_id=wrong)["error"]["details"].keys() == {"last_event_id"}


def test_R2_pruned_events_are_told_as_a_resync_never_as_a_silent_hole(world: World) -> None:
    world.append(*["build_started"] * 9)
    world.db.transact(lambda conn: conn.execute(events.delete().where(events.c.id <= 5)))
    world.feed.look()
    peer, on_the_edge = world.connect(), world.connect()
    subscribe(peer, last_event_id=4)
    subscribe(on_the_edge, last_event_id=5)
    settle(peer)
    settle(on_the_edge)
    assert (ids(peer), json.loads(peer.heard[1])["type"]) == ([], "resync")
    assert ids(on_the_edge) == [6, 7, 8, 9]
    world.append("build_started")
    world.feed.look()
    settle(peer)
    assert ids(peer) == [10]


def test_R2_a_log_that_was_restored_underneath_is_told_to_all_who_follow(world: World) -> None:
    world.append(*["build_started"] * 3)
    world.feed.look()
    peer = world.connect()
    subscribe(peer)

    def restore(conn: Any) -> None:
        conn.execute(events.delete().where(events.c.id > 1))
        conn.execute(event_log.update().values(last_id=1, epoch="restored"))

    world.db.transact(restore)
    world.feed.look()
    world.append("build_started")
    world.feed.look()
    settle(peer)
    told = json.loads(peer.heard[1])
    assert (told["type"], told["epoch"], told["last_event_id"]) == ("resync", "restored", 1)
    assert ids(peer) == [2]


def test_R3_a_hundred_that_come_back_share_the_reads(world: World) -> None:
    for _ in range(13):
        world.append(*["build_started"] * 400)
    restarted = World(world.db)
    peers = [restarted.connect() for _ in range(100)]
    for peer in peers:
        say(peer, type="subscribe", events=["builds"], last_event_id=4000)
    for peer in peers:
        peer.until(lambda peer=peer: ids(peer)[-1:] == [5200])
        assert ids(peer) == list(range(4001, 5201))
    assert restarted.feed.reads / len(peers) <= 0.1
    restarted.end()


def test_R3_one_too_many_is_not_taken(world: World) -> None:
    world.hub.most = 3
    for _ in range(3):
        assert not world.hub.is_full
        world.connect()
    assert world.hub.is_full


def test_R4_M1_who_does_not_read_is_cut_off_and_nobody_else_notices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = world.connect(small=True), world.connect()
    subscribe(slow)
    subscribe(quick)
    began, slowest = time.monotonic(), 0.0
    for _ in range(60):
        world.append("build_started", size=10_000)
        at = time.monotonic()
        world.feed.look()
        slowest = max(slowest, time.monotonic() - at)
        quick.take()
    settle(quick)
    assert ids(quick) == list(range(1, 61))
    assert slowest < 0.5 and time.monotonic() - began < 10
    waiting = max(client.connection.backlog_bytes for client in world.hub._clients)
    assert 0 < waiting <= socket_room.BACKLOG_BYTES
    monkeypatch.setattr("pipemon.live.hub.STUCK_SECONDS", 0.05)
    gevent.sleep(0.1)
    world.hub.beat()
    slow.until(lambda: slow.code is not None)
    assert slow.code == 4408
    # What it did get are whole frames, in order.
    assert ids(slow) == list(range(1, len(ids(slow)) + 1))
    back = world.connect()
    subscribe(back, last_event_id=ids(slow)[-1])
    back.until(lambda: ids(back)[-1:] == [60])
    assert ids(back) == list(range(ids(slow)[-1] + 1, 61))


def test_R4_one_that_takes_nothing_is_cut_off_below_the_cap_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipemon.live.hub.STUCK_SECONDS", 0.05)
    slow = world.connect(small=True)
    subscribe(slow)
    world.append(*["build_started"] * 8, size=9000)
    world.feed.look()
    gevent.sleep(0.1)
    world.hub.beat()
    slow.until(lambda: slow.code == 4408)


def test_R5_M5_a_silent_peer_is_freed_in_two_intervals(world: World) -> None:
    alive, silent = world.connect(), world.connect()
    subscribe(alive)
    for _ in range(2 * 25):
        world.hub.beat()
        alive.take()
        if alive.pings:
            alive.pings = 0
            alive.send(masked(b"", Opcode.PONG))
    silent.take()
    assert silent.ended
    assert len(world.hub) == 1
    world.append("build_started")
    world.feed.look()
    settle(alive)
    assert ids(alive) == [1]


BAD_FRAMES = {
    "not masked": (masked(b"{}", mask=False), 1002),
    "a reserved bit, as compression sets it": (masked(b"{}", rsv=4), 1002),
    "a reserved opcode": (masked(b"{}", opcode=3), 1002),
    "a control frame of 126 bytes": (masked(b"x" * 126, opcode=Opcode.PING), 1002),
    "a fragmented control frame": (masked(b"x", opcode=Opcode.PING, fin=False), 1002),
    "a continuation of nothing": (masked(b"x", opcode=Opcode.CONTINUATION), 1002),
    "a new message inside a message": (masked(b"{", fin=False) + masked(b"{}"), 1002),
    "no UTF-8": (masked(b'"\xff\xfe"'), 1007),
    "binary": (masked(b"{}", opcode=Opcode.BINARY), 1003),
    "64 KiB and one": (masked(b" " * 65537), 1009),
    "64 KiB and one in pieces": (
        b"".join([masked(b" ", fin=False), *[masked(b" " * 999, Opcode.CONTINUATION, fin=False)] * 66]), 1009,
    ),
    "a length of 2^62 bytes": (bytes((0x81, 0xFF)) + (2**62).to_bytes(8, "big") + b"mask" + b" " * 70000, 1009),
    "a good-bye": (masked((1001).to_bytes(2, "big"), opcode=Opcode.CLOSE), 1001),
    "a good-bye without a word": (masked(b"", opcode=Opcode.CLOSE), 1000),
    "a good-bye with half a code": (masked(b"x", opcode=Opcode.CLOSE), 1002),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_R6_M2_a_frame_that_is_not_allowed_ends_its_connection_and_no_other(world: World, name: str) -> None:
    bad, good = world.connect(), world.connect()
    subscribe(good)
    sent, code = BAD_FRAMES[name]
    bad.send(sent)
    bad.until(lambda: bad.code is not None)
    assert bad.code == code
    bad.until(lambda: bad.ended)
    bad.sock.close()
    world.append("build_started")
    world.feed.look()
    settle(good)
    assert ids(good) == [1]


@pytest.mark.parametrize(("pieces", "good"), [(200, True), (10_000, False)])
def test_R6_a_message_in_pieces_is_a_message_unless_they_are_a_flood(world: World, pieces: int, good: bool) -> None:
    peer = world.connect()
    text = json.dumps({"type": "ping", "pad": ""}).encode()
    text += b" " * (pieces - len(text))
    parts = [masked(text[:1], fin=False)]
    parts += [masked(text[at : at + 1], Opcode.CONTINUATION, fin=False) for at in range(1, len(text) - 1)]
    peer.sock.setblocking(True)
    peer.sock.settimeout(5)
    sender = gevent.get_hub().threadpool.spawn(send_all, peer.sock, [*parts, masked(text[-1:], Opcode.CONTINUATION)])
    gevent.sleep(0.2)
    sender.get()
    peer.sock.setblocking(False)
    peer.until(lambda: peer.heard == ['{"type":"pong"}'] if good else peer.code == 1008)


def send_all(sock: Any, parts: list[bytes]) -> None:
    """Send from a thread; the other side may have had enough."""
    with contextlib.suppress(OSError):
        sock.sendall(b"".join(parts))


def test_R7_a_flood_of_commands_is_told_so_and_ended(world: World) -> None:
    flood, good = world.connect(), world.connect()
    subscribe(good)
    flood.send(masked(b'{"type":"ping"}') * 200)
    flood.until(lambda: flood.code is not None)
    assert flood.code == 1008
    assert len(flood.heard) <= session_room.BURST + 2
    assert json.loads(flood.heard[-1])["error"]["type"] == "rate_limited"


def test_R8_who_does_not_say_who_they_are_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_room, "AUTH_SECONDS", 0.1)
    silent, known, wrong = world.connect(None), world.connect(None), world.connect(None)
    assert subscribe(wrong)["error"]["type"] == "unauthorized"
    say(known, type="auth", key="good-key")
    say(wrong, type="auth", key="bad-key")
    wrong.until(lambda: wrong.code == 4401)
    silent.until(lambda: silent.code == 4401)
    assert subscribe(known)["type"] == "authenticated" or known.heard
    settle(known)
    assert json.loads(known.heard[-1])["type"] == "subscription_confirmed"
    assert known.code is None


def test_R9_pings_updates_and_answers_never_mix(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_room, "BURST", 10_000)
    peer = world.connect(small=True)
    subscribe(peer)
    for number in range(200):
        world.append("build_started", size=number * 20)
        world.feed.look()
        for slot in range(25):
            world.hub._turn = slot
        world.hub.beat()
        peer.send(masked(b'{"type":"ping"}'))
        peer.take(3000 if number % 3 else 100_000)
        peer.send(masked(b"", Opcode.PONG))
    peer.until(lambda: ids(peer)[-1:] == [200])
    assert ids(peer) == list(range(1, 201))
    assert peer.heard.count('{"type":"pong"}') == 200


def test_R10_an_event_that_another_process_wrote_is_told_here_too(world: World) -> None:
    other = World(world.db)
    here, there = world.connect(), other.connect()
    subscribe(here)
    subscribe(there)
    world.append("build_started")
    world.feed.look()
    other.feed.look()
    settle(here)
    settle(there)
    assert ids(here) == ids(there) == [1]
    other.end()


def test_the_answers_are_fresh_before_anybody_is_told(world: World) -> None:
    order: list[str] = []
    hub = Hub(10)
    follower = Feed(world.db, hub, lambda: order.append("refreshed"))
    follower.look()
    hub.publish = lambda updates: order.append(f"told {len(updates)}")  # type: ignore[method-assign]
    world.append("build_started", "build_failed")
    follower.look()
    assert order == ["refreshed", "told 2"]


def test_a_commit_wakes_the_feed(world: World) -> None:
    follower = gevent.spawn(world.feed.run)
    world.db.committed = world.feed.wake
    peer = world.connect()
    subscribe(peer)
    gevent.sleep(0.05)
    began = time.monotonic()
    world.append("build_started")
    peer.until(lambda: ids(peer) == [1])
    assert time.monotonic() - began < feed_room.LOOK_SECONDS * 0.8
    world.hub.closing = True
    follower.join(2)


def test_goodbye_reaches_everybody_and_frees_all(world: World) -> None:
    peers = [world.connect() for _ in range(5)]
    closing = gevent.spawn(world.hub.close_all, 1012, "restart", 2.0)
    for peer in peers:
        peer.until(lambda peer=peer: peer.code == 1012)
        peer.sock.close()
    closing.join(1)
    assert len(world.hub) == 0


def test_position_without_a_log_is_an_error_that_passes(world: World) -> None:
    peer = world.connect()
    held, world.feed.position = world.feed.position, None
    assert subscribe(peer)["error"]["type"] == "unavailable"
    world.feed.position = held
    assert subscribe(peer)["type"] == "subscription_confirmed"
    assert isinstance(held, Position)
