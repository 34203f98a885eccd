"""From an event's commit to a person's Slack, when all is calm and in a storm; and what ten thousand rules cost."""

import json
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests
import websocket

from benchmarks.http import pipemon_settings
from benchmarks.report import Figure, at_least, at_most, plain
from benchmarks.served import free_port, serve
from benchmarks.teams import facts_of_teams, rules_of_teams
from pipemon.cli import key_entry, new_key
from pipemon.notify.rules import Index
from pipemon.simulator import Simulator

SHOP = "octo-harbor/shop"
CALM_BUILDS = 40
STORM_FAILURES, STORM_BRANCHES = 1000, 10
STORM_SECONDS = 60.0
INTERVAL_SECONDS = 60
RULES, EVENTS = 10_000, 1_000


@dataclass(frozen=True, slots=True)
class Bench:
    """A running service, its simulated GitHub and Slack, and its database's file."""

    world: Simulator
    url: str
    database: Path
    key: str

    def rows(self, statement: str) -> list[Any]:
        """Return what the database says."""
        conn = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return conn.execute(statement).fetchall()
        finally:
            conn.close()

    def change(self, path: str, **values: Any) -> None:
        """Change a rule or the settings."""
        answer = requests.put(
            f"{self.url}/api/v1/notifications{path}", json=values, timeout=10, headers={"X-API-Key": self.key}
        )
        answer.raise_for_status()


def measure() -> list[Figure]:
    """40 builds one by one, 1,000 failures within a minute on 10 branches, and 10,000 rules for 1,000 events."""
    with _bench() as bench:
        figures = _calm(bench)
        figures += _storm(bench)
    return figures + _rules()


@contextmanager
def _bench() -> Iterator[Bench]:
    world = Simulator(size="empty", seed=3, rate_limit=1_000_000)
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as name, world.serve() as url:
        folder, port, key = Path(name), free_port(), new_key()
        settings = pipemon_settings(folder, port) | {
            "GITHUB_REPOSITORIES": SHOP, "GITHUB_API_URL": url, "POLL_INTERVAL_ACTIVE": "1", "POLL_INTERVAL_IDLE": "1",
            "SLACK_WEBHOOK_URL": f"{url}/_slack/services/bench", "OUTBOUND_ALLOW": "127.0.0.1,localhost",
            "DIGEST_DAILY": "off", "DIGEST_WEEKLY": "off", "API_KEYS": key_entry("bench", "admin", key),
        }  # fmt: skip
        config = str(Path(__file__).parents[1] / "gunicorn.conf.py")
        with serve("-c", config, "wsgi:app", port=port, path="/health", cwd=folder, **settings) as served:
            bench = Bench(world, served.url, folder / "pipemon.sqlite3", key)
            _wait(lambda: bench.rows("SELECT count(*) FROM notification_rules") == [(2,)], 30)
            time.sleep(3)  # the first read: until then nothing is news
            yield bench


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _calm(bench: Bench) -> list[Figure]:
    """Let builds end one by one, further apart than Slack's second; compare when a socket and when Slack hears of it.

    The log's own moments are GitHub's, which come in whole seconds; a socket is told within some milliseconds.
    """
    bench.change("/rules/1", trigger_events=["build_succeeded"], conditions=[])
    bench.change("/rules/2", enabled=False)
    heard = _listen(bench)
    for number in range(CALM_BUILDS):
        bench.world.add_runs(SHOP, seconds=1, branch=f"calm-{number}", event="push")
        time.sleep(4)  # two of them must not come within the second that Slack asks for
    _wait(lambda: len(bench.world.slack.messages) >= CALM_BUILDS, 30)
    told = {one["message"]["text"].split(" on ")[1].split()[0]: one["at"] for one in bench.world.slack.messages}
    delays = sorted(told[branch] - at for branch, at in heard.items() if branch in told)
    return [
        at_least("calm: builds told, of 40", len(delays), CALM_BUILDS),
        plain("calm: from the event's commit to Slack's inbox, p50", f"{delays[len(delays) // 2] * 1000:.0f} ms"),
        plain("calm: the same, p99 (the slowest of 40)", f"{delays[-1] * 1000:.0f} ms"),
    ]


def _listen(bench: Bench) -> dict[str, float]:
    """Return when a socket hears of each branch's success; it fills as they come."""
    heard: dict[str, float] = {}
    client = websocket.create_connection(f"{bench.url.replace('http', 'ws')}/ws", timeout=60)
    client.send('{"type": "subscribe", "events": ["builds"]}')

    def listen() -> None:
        while True:
            try:
                message = json.loads(client.recv())
            except (OSError, ValueError, websocket.WebSocketException):
                return
            if message.get("event") == "build_succeeded":
                heard.setdefault(message["data"]["branch"], time.time())

    threading.Thread(target=listen, daemon=True).start()
    return heard


def _storm(bench: Bench) -> list[Figure]:
    """Let 1,000 builds fail within a minute, and wait until all is told."""
    bench.change("/rules/1", trigger_events=["build_failed"], conditions=[])
    bench.change("/settings", group_interval_seconds=INTERVAL_SECONDS)
    bench.world.slack.messages.clear()
    began, parts = time.monotonic(), 50
    for part in range(parts):
        for branch in range(STORM_BRANCHES):
            count = STORM_FAILURES // STORM_BRANCHES // parts
            bench.world.add_runs(
                SHOP, count=count, seconds=1, branch=f"storm-{branch}", event="push", conclusion="failure"
            )
        time.sleep(max(0.0, began + STORM_SECONDS * (part + 1) / parts - time.monotonic()))
    failed = "SELECT count(*) FROM events WHERE type = 'build_failed' AND NOT historic"
    _wait(lambda: bench.rows(failed) == [(STORM_FAILURES,)], 60)
    open_ = "SELECT count(*) FROM notifications WHERE state IN ('pending', 'leased', 'retry')"
    time.sleep(2)
    _wait(lambda: bench.rows(open_) == [(0,)], 4 * INTERVAL_SECONDS)
    sent = bench.rows(
        "SELECT group_key, sent_at, represents FROM notifications WHERE state = 'sent' AND event_type = 'build_failed'"
    )
    begin = min(at for _, at, _ in sent)
    groups = Counter((group, int((at - begin) // INTERVAL_SECONDS)) for group, at, _ in sent)
    moments = sorted(message["at"] for message in bench.world.slack.messages)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return [
        at_least("storm: failures represented, of 1,000", sum(count for *_, count in sent), STORM_FAILURES),
        plain("storm: messages for them", len(moments)),
        at_most("storm: messages of a group within an interval", max(groups.values()), 2),
        # A tenth of a second is what the network may take from the gap.
        at_most("storm: messages less than a second apart", sum(gap < 0.9 for gap in gaps), 0),
    ]


def _rules() -> list[Figure]:
    index = Index(rules_of_teams(RULES))
    facts = list(facts_of_teams(EVENTS))
    began = time.perf_counter()
    for fact in facts:
        index.matching(fact)
    took = time.perf_counter() - began
    return [
        at_most("10,000 rules, 1,000 events: share evaluated", index.evaluated / (RULES * EVENTS), 0.05),
        plain("an event among 10,000 rules", f"{took / EVENTS * 1000:.2f} ms"),
    ]
