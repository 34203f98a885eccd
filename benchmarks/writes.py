"""The store's upserts beside raw sqlite3; and what it costs to keep derived data with every batch."""

import random
import sqlite3
import tempfile
import time
from pathlib import Path
from unittest import mock

from benchmarks.filled import BATCH, made_up
from benchmarks.report import Figure, at_least, plain
from pipemon.ingest import rolled
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.store import repositories, rows, runs
from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade

RUNS, APPLIED, AT_ONCE, START = 20_000, 5_000, 100, 1_760_000_000


def measure() -> list[Figure]:
    """20,000 runs in batches of 1,000, beside executemany of the same rows with the same indexes; 5,000 applied."""
    rng = random.Random(1)
    made = [made_up(n, START + n * 60, rng, "octo/shop") for n in range(RUNS)]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = (Database(f"sqlite:///{folder}/{name}.sqlite3") for name in ("ours", "theirs"))
        for db in (ours, theirs):
            upgrade(db)
            db.transact(lambda conn: repositories.watch(conn, ["octo/shop"]))
        batches = [made[start : start + BATCH] for start in range(0, RUNS, BATCH)]
        started = time.monotonic()
        for batch in batches:
            changed = {run.id: (run, attempt) for run, attempt, _ in batch}
            ours.transact(lambda conn, changed=changed: runs.put_runs(conn, 1, changed))  # type: ignore[misc]
        mine = RUNS / (time.monotonic() - started)
        theirs.close()
        raw = _raw(
            f"{folder}/theirs.sqlite3", [[rows.run_row(run, attempt, 1) for run, attempt, _ in b] for b in batches]
        )
        ours.close()
        with_it = _applied(Path(folder) / "with.sqlite3")
        with mock.patch.object(rolled, "follow"):
            without = _applied(Path(folder) / "without.sqlite3")
    return [
        plain("runs a second, store", f"{mine:,.0f}"),
        plain("runs a second, executemany", f"{raw:,.0f}"),
        at_least("store / executemany", mine / raw, 0.5, "x"),
        plain("runs a second, apply in hundreds", f"{with_it:,.0f}"),
        plain("the same, no derived data kept", f"{without:,.0f}"),
        plain("what derived data costs", f"{(1 / with_it - 1 / without) * 1e6:.0f} us a run"),
    ]


def _applied(path: Path) -> float:
    """Return how many runs a second are applied, as a backfill does it, in batches of a hundred."""
    db, rng = Database(f"sqlite:///{path}"), random.Random(1)
    upgrade(db)
    db.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))
    made = [made_up(number, START + number * 60, rng, "octo/shop")[0] for number in range(APPLIED)]
    began = time.perf_counter()
    for start in range(0, APPLIED, AT_ONCE):
        batch = Batch(1, None, tuple(Sighting(run) for run in made[start : start + AT_ONCE]))
        db.transact(lambda conn, batch=batch: apply(conn, batch, START))  # type: ignore[misc]
    taken = time.perf_counter() - began
    db.close()
    return APPLIED / taken


def _raw(path: str, batches: list[list[dict[str, object]]]) -> float:
    names = list(batches[0][0])
    statement = f"INSERT INTO runs ({','.join(names)}) VALUES ({','.join('?' * len(names))})"
    conn = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        conn.execute(f"PRAGMA {pragma}")
    tuples = [[tuple(row.values()) for row in batch] for batch in batches]
    started = time.monotonic()
    for batch in tuples:
        conn.execute("BEGIN")
        conn.executemany(statement, batch)
        conn.execute("COMMIT")
    took = time.monotonic() - started
    conn.close()
    return RUNS / took
