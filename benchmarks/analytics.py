"""How long each answer of `/analytics` takes without any cache; `python -m benchmarks.analytics 1000000` for more."""

import logging
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, at_most, plain
from pipemon.queries import analytics, comparison, freshness, tables
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade

NOW = 1_760_000_000
DAYS = 730
REPOSITORIES = 50
WORKFLOWS = 300
ENDS = ["success"] * 80 + ["failure"] * 12 + ["cancelled"] * 6 + ["timed_out", "skipped"]
BRANCHES = ["main"] * 12 + [f"topic-{number}" for number in range(60)]
DEFAULT_RUNS = 100_000
REPEATS = 3
AIM_MS = 50.0

ANSWERS: dict[str, Callable[[Database, Window], object]] = {
    "overview": analytics.overview,
    "trends": analytics.trends,
    "mttr": analytics.recovery,
    "failures": tables.failures,
    "performance": tables.performance,
    "comparison": comparison.comparison,
}

Row = tuple[Any, ...]
RUN_COLUMNS = (
    "id, repository_id, workflow_id, run_number, name, event, branch, sha, head_repository, actor, author,"
    " created_at, run_attempt, status, conclusion, started_at, updated_at, completed_at, duration_seconds,"
    " queue_seconds"
)
ATTEMPT_COLUMNS = (
    "run_id, run_attempt, repository_id, status, conclusion, started_at, updated_at, completed_at, jobs_complete"
)
JOB_COLUMNS = "id, run_id, run_attempt, repository_id, name, status, conclusion, created_at, started_at, completed_at"


def made_up(count: int, rng: random.Random) -> Iterator[tuple[Row, Row, list[Row]]]:
    """Yield completed runs, spread evenly over two years, each with its attempt and its four jobs."""
    for number in range(count):
        workflow = rng.randrange(WORKFLOWS)
        repository = workflow % REPOSITORIES + 1
        at = NOW - DAYS * DAY_SECONDS + int(number * DAYS * DAY_SECONDS / count)
        end, seconds, queued = rng.choice(ENDS), rng.randint(30, 1800), rng.randint(1, 60)
        who, key = f"dev-{rng.randrange(80)}", 10_000_000 + number
        run = (
            key, repository, workflow + 1, number, f"workflow {workflow}", "push", rng.choice(BRANCHES),
            f"{number:040x}", f"octo/repo-{repository}", who, who, at, 1, "completed", end, at, at + seconds,
            at + seconds, seconds, queued,
        )  # fmt: skip
        jobs = [
            (key * 4 + place, key, 1, repository, f"job {place}", "completed", end, at, at + queued, at + seconds)
            for place in range(4)
        ]
        yield run, (key, 1, repository, "completed", end, at, at + seconds, at + seconds, 1), jobs


def fill(path: Path, count: int) -> None:
    """Write so many runs past the store, which would take too long."""
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA synchronous=OFF")
    conn.executemany(
        "INSERT INTO workflows (id, repository_id, name, named_at) VALUES (?, ?, ?, 0)",
        [(number + 1, number % REPOSITORIES + 1, f"workflow {number}") for number in range(WORKFLOWS)],
    )
    batch: list[tuple[Row, Row, list[Row]]] = []
    for one in made_up(count, random.Random(1)):
        batch.append(one)
        if len(batch) == 20_000:
            _write(conn, batch)
            batch.clear()
    _write(conn, batch)
    conn.commit()
    conn.execute("ANALYZE")
    conn.commit()
    conn.close()


def _write(conn: sqlite3.Connection, batch: list[tuple[Row, Row, list[Row]]]) -> None:
    _insert(conn, "runs", f"{RUN_COLUMNS}, pull_requests", ((*run, "[]") for run, _, _ in batch))
    _insert(conn, "attempts", ATTEMPT_COLUMNS, (attempt for _, attempt, _ in batch))
    rows = ((*job, "[]", "[]") for _, _, jobs in batch for job in jobs)
    _insert(conn, "jobs", f"{JOB_COLUMNS}, labels, steps", rows)


def _insert(conn: sqlite3.Connection, table: str, columns: str, rows: Iterable[Row]) -> None:
    marks = ", ".join("?" for _ in columns.split(","))
    conn.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def measure(count: int = DEFAULT_RUNS) -> list[Figure]:
    """Answers about 30 days, 90 days and two years, with and without a branch, straight from the rows."""
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as folder:
        path = Path(folder) / "pipemon.sqlite3"
        db = Database(f"sqlite:///{path}")
        upgrade(db)
        names = tuple(f"octo/repo-{number + 1}" for number in range(REPOSITORIES))
        db.transact(lambda conn: repositories.watch(conn, names))
        fill(path, count)
        with db.read() as conn:
            watched = freshness.read(conn).names()
        found = [plain("runs", count), plain("bytes per run, with its 4 jobs", path.stat().st_size // count)]
        for name, answer in ANSWERS.items():
            for days in (30, 90, DAYS):
                for branch in (None, "main"):
                    found.append(_figure(db, watched, name, answer, days, branch))
        db.close()
    return found


def _figure(
    db: Database,
    watched: dict[int, str],
    name: str,
    answer: Callable[[Database, Window], object],
    days: int,
    branch: str | None,
) -> Figure:
    scope = Scope(watched, created_from=NOW - days * DAY_SECONDS, created_to=NOW, branch=branch)
    window = Window(scope, days, AsOf(NOW, "fresh", 0))
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        answer(db, window)
        taken.append((time.perf_counter() - began) * 1000)
    what = f"{name}, {days} days{', one branch' if branch else ''} (slowest {max(taken):.0f} ms)"
    return at_most(what, statistics.median(taken), AIM_MS, " ms")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    for figure in measure(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS):
        print(figure.line(), flush=True)
