"""Analytics over a million runs and four million jobs of two years: cold answers, the hub meanwhile, and DuckDB beside.

Sizes by environment: MILLION_RUNS (1000000), MILLION_REPEATS (5).
MILLION_KEEP names a SQLite file that is made where it is missing, and used again.
"""

import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import gevent

from benchmarks import duck
from benchmarks.analytics import ANSWERS, DAYS, NOW, REPOSITORIES, fill
from benchmarks.filled import made_up
from benchmarks.report import Figure, at_most, plain
from pipemon.ingest import rolled
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.queries import freshness
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.queries.sealer import rebuild
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade

RUNS = int(os.environ.get("MILLION_RUNS", "1000000"))
REPEATS = int(os.environ.get("MILLION_REPEATS", "5"))
KEEP = os.environ.get("MILLION_KEEP")
AIM_MS, STALL_MS, MOST_OF_DUCKDB = 50.0, 25.0, 3.0
FILTERS: dict[str, dict[str, Any]] = {
    "": {},
    ", one branch": {"branch": "main"},
    ", one workflow": {"workflow": "7"},
    ", one repository": {"repository": 7},
}
APPLIED = 2_000


def measure() -> list[Figure]:
    """Answers of /analytics about 30 days, 90 days and two years; what sums and incidents cost."""
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as folder:
        path = Path(KEEP or f"{folder}/pipemon.sqlite3")
        found = [] if path.exists() else _made(path)
        db = Database(f"sqlite:///{path}")
        found += [plain("runs", RUNS), plain("bytes per run, with its 4 jobs", path.stat().st_size // RUNS)]
        found += _answers(db, path)
        db.close()
        found += _writing(Path(folder))
    found.append(
        plain("memory of this process, most", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")
    )
    return found


def _made(path: Path) -> list[Figure]:
    db = Database(f"sqlite:///{path}")
    upgrade(db)
    names = tuple(f"octo/repo-{number + 1}" for number in range(REPOSITORIES))
    db.transact(lambda conn: repositories.watch(conn, names))
    fill(path, RUNS)
    before, began = path.stat().st_size, time.perf_counter()
    rebuild(db, (), lambda: NOW)
    took = time.perf_counter() - began
    db.close()
    grown = (path.stat().st_size - before) / RUNS
    return [plain("incidents and sums made anew", f"{took:.0f} s"), plain("bytes per run of them", f"{grown:.0f}")]


def _answers(db: Database, path: Path) -> Iterator[Figure]:
    with db.read() as conn:
        watched = freshness.read(conn).names()
    with duck.loaded(path) as beside:
        for name, answer in ANSWERS.items():
            for days in (30, 90, DAYS):
                for label, filters in FILTERS.items():
                    yield from _answer(db, f"{name}, {days} days{label}", answer, _window(watched, days, filters))
                theirs = beside(name, NOW - days * DAY_SECONDS, NOW)
                if theirs is not None:
                    ours = _times(lambda a=answer, d=days: a(db, _window(watched, d, {})))  # type: ignore[misc]
                    ratio = statistics.median(ours) / theirs
                    yield at_most(f"{name}, {days} days: times DuckDB's {theirs:.0f} ms", ratio, MOST_OF_DUCKDB, "x")


def _window(watched: dict[int, str], days: int, filters: dict[str, Any]) -> Window:
    rest = {key: value for key, value in filters.items() if key != "repository"}
    wanted = filters.get("repository")
    names = watched if wanted is None else {wanted: watched[wanted]}
    scope = Scope(names, created_from=NOW - days * DAY_SECONDS, created_to=NOW)
    return Window(replace(scope, **rest), days, AsOf(NOW, "fresh", 0))


def _answer(db: Database, what: str, answer: Callable[[Database, Window], object], window: Window) -> Iterator[Figure]:
    with _watched_hub() as lags:
        taken = sorted(_times(lambda: answer(db, window)))
    p95 = taken[min(len(taken) - 1, round(0.95 * (len(taken) - 1)))]
    yield at_most(f"{what} (p95 {p95:.0f} ms)", statistics.median(taken), AIM_MS, " ms")
    if max(lags) > STALL_MS:
        yield at_most(f"{what}: the hub stood still", max(lags), STALL_MS, " ms")


def _times(call: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


@contextmanager
def _watched_hub() -> Iterator[list[float]]:
    """Give a list that grows by how late a timer of 2 ms was, in ms."""
    lags = [0.0]

    def watch() -> None:
        while True:
            began = time.perf_counter()
            gevent.sleep(0.002)
            lags.append((time.perf_counter() - began) * 1000 - 2)

    watcher = gevent.spawn(watch)
    try:
        yield lags
    finally:
        gevent.sleep(0)
        watcher.kill()


def _writing(folder: Path) -> Iterator[Figure]:
    """Apply runs in batches of a hundred, with incidents and marks, and without."""
    with_them = _applied(folder / "with.sqlite3")
    with mock.patch.object(rolled, "follow"):
        without = _applied(folder / "without.sqlite3")
    yield plain("runs a second through apply", f"{with_them:,.0f}")
    yield plain("the same without incidents and sums", f"{without:,.0f}")


def _applied(path: Path) -> float:
    db = Database(f"sqlite:///{path}")
    upgrade(db)
    db.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    rng = random.Random(1)
    made = [made_up(number, NOW - 9_000_000 + number * 60, rng, "octo/shop")[0] for number in range(APPLIED)]
    began = time.perf_counter()
    for start in range(0, APPLIED, 100):
        batch = Batch(1, None, tuple(Sighting(run) for run in made[start : start + 100]))
        db.transact(lambda conn, batch=batch: apply(conn, batch, NOW))  # type: ignore[misc]
    taken = time.perf_counter() - began
    db.close()
    return APPLIED / taken
