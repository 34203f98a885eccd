"""How long the answers take that are about jobs and deployments; `python -m benchmarks.jobs 1000000` for more.

Every job has ten steps and a label; fifty environments are deployed to five times a day. Without any cache.
"""

import json
import logging
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent

from benchmarks.analytics import DAYS, DEFAULT_RUNS, NOW, REPEATS, REPOSITORIES, fill
from benchmarks.report import Figure, plain
from pipemon.queries import cost, delivery, flaky, freshness, packer, queue, regressions, whole
from pipemon.queries.delivery import Delivers
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade

PRICES = {"ubuntu-*": 0.006, "macos-*": 0.062}
DELIVERS = Delivers(("production",), 0)
DEPLOYS_A_DAY = 5
ANSWERS: dict[str, Callable[[Database, Window], object]] = {
    "dora": lambda db, window: delivery.delivery(db, window, DELIVERS),
    "flaky": flaky.flakiness,
    "queue": queue.queues,
    "cost": lambda db, window: cost.cost(db, window, PRICES),
    "regressions": regressions.regressions,
    "performance": whole.performance,
    "failures": whole.failures,
    "comparison": lambda db, window: whole.compare(db, window, PRICES),
}


def steps(end: str) -> str:
    """Return ten steps as they are stored, of which the eighth ends so."""
    ends = ["success"] * 7 + [end] + ["success"] * 2
    rows = [[place, f"Step number {place}", "completed", how, NOW, NOW + 9] for place, how in enumerate(ends, 1)]
    return json.dumps(rows, separators=(",", ":"))


def furnish(path: Path) -> None:
    """Give each job its steps and a label, and each repository a history of deployments."""
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA synchronous=OFF")
    conn.execute("UPDATE jobs SET labels = CASE id % 10 WHEN 0 THEN '[\"macos-14\"]' ELSE '[\"ubuntu-latest\"]' END")
    for end in ("success", "failure"):
        conn.execute("UPDATE jobs SET steps = ? WHERE (conclusion = 'failure') = ?", (steps(end), end == "failure"))
    conn.executemany(
        "INSERT INTO deployments (id, repository_id, environment, sha, created_at, updated_at, statuses, state,"
        " deployed_at, failed_at, finished_at, kind, rule, evidence, previous_id, compared_with, comparison, commits,"
        " source, statuses_of) VALUES (?, ?, 'production', ?, ?, ?, ?, ?, ?, ?, ?, ?, 'new_commit', '{}', ?, ?,"
        " 'ahead', ?, 'github', 0)",
        deployments(random.Random(1)),
    )
    conn.commit()
    conn.execute("ANALYZE")
    conn.commit()
    conn.close()


def deployments(rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Yield each environment's deployments, with three commits each; one in twelve fails."""
    for repository in range(1, REPOSITORIES + 1):
        before = None
        for number in range(DAYS * DEPLOYS_A_DAY):
            key = repository * 1_000_000 + number
            at = NOW - DAYS * DAY_SECONDS + number * DAY_SECONDS // DEPLOYS_A_DAY + repository
            failed = rng.random() < 0.08
            state = "failure" if failed else "success"
            commits = json.dumps([[f"{key:039x}{n}", at - 9000, "Mend a door", "dev", False] for n in range(3)])
            status = json.dumps([[key, "in_progress", at, None], [key + 1, state, at, None]])
            times = (None, at, at) if failed else (at, None, at)
            sha, previous = f"{key:040x}", None if before is None else f"{before:040x}"
            yield key, repository, sha, at, at, status, state, *times, "change", before, previous, commits
            before = before if failed else key


def measure(count: int = DEFAULT_RUNS) -> list[Figure]:
    """Each answer over 30 days, 90 days and two years, and how long another greenlet waited meanwhile."""
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as folder:
        path = Path(folder) / "pipemon.sqlite3"
        db = Database(f"sqlite:///{path}")
        upgrade(db)
        names = tuple(f"octo/repo-{number + 1}" for number in range(REPOSITORIES))
        db.transact(lambda conn: repositories.watch(conn, names))
        fill(path, count)
        furnish(path)
        packer.rebuild(db)
        with db.read() as conn:
            watched = freshness.read(conn).names()
        found = [plain("runs", count)]
        for name, answer in ANSWERS.items():
            for days in (30, 90, DAYS):
                scope = Scope(watched, created_from=NOW - days * DAY_SECONDS, created_to=NOW)
                found.append(_figure(db, Window(scope, days, AsOf(NOW, "fresh", 0)), name, answer))
        db.close()
    return found


def _figure(db: Database, window: Window, name: str, answer: Callable[[Database, Window], object]) -> Figure:
    taken, stalls = [], []
    for _ in range(REPEATS):
        stop = threading.Event()
        beat = gevent.spawn(_beat, stop, stalls)
        gevent.sleep(0.01)
        began = time.perf_counter()
        answer(db, window)
        taken.append((time.perf_counter() - began) * 1000)
        stop.set()
        beat.join()
    return plain(f"{name}, {window.days} days, ms (hub late by {max(stalls):.0f} ms)", round(statistics.median(taken)))


def _beat(stop: threading.Event, stalls: list[float]) -> None:
    while not stop.is_set():
        began = time.perf_counter()
        gevent.sleep(0.002)
        stalls.append((time.perf_counter() - began) * 1000 - 2)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    for figure in measure(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS):
        print(figure.line(), flush=True)
