"""Seams of the live room: between two reads, two logs, two messages, two clients."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from wsproto.frame_protocol import Opcode

from pipemon.live.feed import Feed
from pipemon.live.session import Live, Session
from pipemon.store.engine import DatabaseError
from pipemon.store.schema import event_log
from tests.live.client import masked
from tests.live.conftest import Peer, World
from tests.live.test_live import ids, say, settle, subscribe


def test_R1_an_event_of_another_process_at_the_start_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*["build_started"] * 5)
    feed = Feed(world.db, world.hub, lambda: None)
    plain = Feed._read

    def read(self: Feed, after: int) -> Any:
        monkeypatch.setattr(Feed, "_read", plain)
        world.append("build_failed")  # another process, between the two reads of `_begin`
        return plain(self, after)

    monkeypatch.setattr(Feed, "_read", read)
    feed.look()
    world.append("build_started", "build_started")
    feed.look()
    world.live = Live(world.hub, feed, world.live.authenticate, world.live.watched, world.live.clock)
    back, other = world.connect(), world.connect()
    subscribe(back, last_event_id=3)
    subscribe(other, last_event_id=6)
    settle(back)
    settle(other)
    assert (ids(back), ids(other)) == ([4, 5, 6, 7, 8], [7, 8])


def test_R2_who_follows_is_told_of_another_log_though_its_first_read_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*["build_started"] * 5)
    world.feed.look()
    peer = world.connect()
    subscribe(peer)
    world.db.transact(lambda conn: conn.execute(event_log.update().values(epoch="other")))
    plain = Feed._read

    def read(self: Feed, after: int) -> Any:
        monkeypatch.setattr(Feed, "_read", plain)
        raise DatabaseError("not now")

    monkeypatch.setattr(Feed, "_read", read)
    with pytest.raises(DatabaseError):
        world.feed.look()
    world.feed.look()
    settle(peer)
    assert [json.loads(text)["type"] for text in peer.heard][1:] == ["resync"]


def test_R2_who_has_no_topic_just_now_misses_nothing_of_another_log(world: World) -> None:
    world.append(*["build_started"] * 5)
    world.feed.look()
    peer = world.connect()
    subscribe(peer)
    say(peer, type="unsubscribe", events=["builds"])
    from pipemon.store.schema import events

    def restore(conn: Any) -> None:
        conn.execute(events.delete().where(events.c.id > 1))
        conn.execute(event_log.update().values(epoch="other", last_id=1))

    world.db.transact(restore)
    world.feed.look()
    subscribe(peer)
    world.append("build_failed")
    world.feed.look()
    settle(peer)
    assert ids(peer) == [2]


def test_a_key_and_a_subscription_may_be_sent_back_to_back(world: World) -> None:
    """On PostgreSQL the redeeming of a ticket waits for the database."""

    def who(shown: Any) -> str:
        gevent.sleep(0.02)
        return "dash"

    world.live = Live(world.hub, world.feed, who, world.live.watched, world.live.clock)
    peer = world.connect(None)
    auth = masked(json.dumps({"type": "auth", "ticket": "t"}).encode())
    peer.send(auth + masked(json.dumps({"type": "subscribe", "events": ["builds"]}).encode()))
    peer.until(lambda: len(peer.heard) == 2)
    assert [json.loads(text)["type"] for text in peer.heard] == ["authenticated", "subscription_confirmed"]


def test_R7_frames_without_a_message_are_bounded_too(world: World) -> None:
    peer = world.connect()
    (client,) = world.hub._clients
    peer.sock.setblocking(True)
    peer.send(masked(b"", Opcode.TEXT, fin=False))
    flood = masked(b"", Opcode.CONTINUATION, fin=False) * 1000
    for _ in range(50):
        if peer.ended or not client.connection.is_open:
            break
        peer.send(flood)
        gevent.sleep(0.01)
    assert len(client.connection._text) < 10_000 or not client.connection.is_open


def test_R3_those_who_come_back_at_once_share_a_page_where_reading_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, where a read gives way to others."""
    world.append(*["build_started"] * 3000)
    while True:
        before = world.feed.position
        world.feed.look()
        if world.feed.position == before:
            break
    world.feed._window.clear()
    plain = Feed._read

    def read(self: Feed, after: int) -> Any:
        gevent.sleep(0.02)
        return plain(self, after)

    monkeypatch.setattr(Feed, "_read", read)
    world.feed.reads = 0
    peers = [world.connect() for _ in range(100)]
    for peer in peers:
        peer.sock.sendall(masked(json.dumps({"type": "subscribe", "events": ["builds"], "last_event_id": 0}).encode()))
    peers[0].until(lambda: len(ids(peers[0])) >= 400)
    assert world.feed.reads <= 10


def real_pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(1)
        theirs = socket.create_connection(door.getsockname())
        return door.accept()[0], theirs


@pytest.mark.parametrize("buffer", [None, 87_380])
def test_R4_a_healthy_client_outlives_a_burst_of_one_commit(world: World, buffer: int | None) -> None:
    ours, theirs = real_pair()
    if buffer:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer // 2)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer // 2)
    theirs.setblocking(False)
    Session(world.live, ours.fileno(), "x", {})
    ours.close()
    peer = Peer(theirs)
    world.peers.append(peer)
    subscribe(peer)
    world.append(*["build_started"] * 500, size=800)
    reader = gevent.spawn(lambda: peer.until(lambda: len(ids(peer)) == 500 or peer.code))
    gevent.sleep(0.01)
    world.feed.look()
    reader.join(5)
    assert (len(ids(peer)), peer.code) == (500, None)


def test_the_hub_is_not_held_by_a_burst_to_some_clients(world: World) -> None:
    """The least of three bursts: what else this machine does only adds to it."""
    world.hub.most = 1000
    for _ in range(200):
        world.connect()
    held = []
    for _ in range(3):
        for client in world.hub._clients:
            client.topics, client.live, client.cursor = ("builds",), True, 10**9
        world.append(*["build_started"] * 500, size=100)
        for client in world.hub._clients:
            client.cursor = 0
        held.append(longest_wait(world.feed.look))
    assert min(held) < 0.1


def longest_wait(work: Callable[[], None]) -> float:
    """Return by how many seconds a timer of 5 ms was late at most while the work was done."""
    late: list[float] = []

    def watch() -> None:
        while True:
            at = time.monotonic()
            gevent.sleep(0.005)
            late.append(time.monotonic() - at - 0.005)

    watcher = gevent.spawn(watch)
    gevent.sleep(0.02)
    work()
    gevent.sleep(0.02)
    watcher.kill()
    return max(late)
