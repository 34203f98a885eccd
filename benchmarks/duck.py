"""The same answers by DuckDB, from the same rows, in its own columns in memory."""

import csv
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLUMNS = (
    "id, repository_id, workflow_id, run_number, branch, author, created_at, run_attempt, conclusion, completed_at,"
    " duration_seconds, queue_seconds"
)
RED = "conclusion IN ('failure', 'timed_out', 'startup_failure')"
KNOWN = f"(conclusion = 'success' OR {RED})"
GROUPS = (
    "SELECT {keys}conclusion, count(*), count(duration_seconds), sum(duration_seconds) FROM runs WHERE {window} {by}"
)
STREAKS = f"""
WITH seen AS (SELECT *, {RED} AS red, lag({RED}) OVER w AS was FROM runs WHERE {KNOWN}
    WINDOW w AS (PARTITION BY repository_id, workflow_id, branch ORDER BY run_number)),
edges AS (SELECT *, lead(completed_at) OVER (PARTITION BY repository_id, workflow_id, branch ORDER BY run_number)
    AS ended FROM seen WHERE red <> coalesce(was, false))
SELECT count(*), avg(ended - completed_at), quantile_cont(ended - completed_at, [0.5, 0.9]) FROM edges
WHERE red AND ended >= {{begin}} AND ended < {{end}}"""


def statements(name: str, begin: int, end: int) -> list[str]:
    """Return what DuckDB is asked for an answer; what has no counterpart here is left out on its side alone."""
    window = f"created_at >= {begin} AND created_at < {end}"
    earlier = f"created_at >= {2 * begin - end} AND created_at < {begin}"
    whole = GROUPS.format(keys="", window=window, by="GROUP BY conclusion")
    daily = GROUPS.format(keys="created_at // 86400, ", window=window, by="GROUP BY ALL")
    most = "SELECT {0}, count(*) FROM runs WHERE {1} GROUP BY {0} ORDER BY 2 DESC LIMIT 1"
    worst = f"SELECT {{0}}, count(*), count(*) FILTER ({RED}) AS bad FROM runs WHERE {{1}} GROUP BY {{0}}"
    worst += " ORDER BY bad DESC LIMIT 10"
    top = "SELECT * FROM runs WHERE {1} AND {2} ORDER BY {0} DESC LIMIT 10"
    spread = "SELECT count({0}), avg({0}), min({0}), max({0}), quantile_cont({0}, [0.5, 0.95]) FROM runs WHERE {1}"
    streaks = STREAKS.format(begin=begin, end=end)
    asked = {
        "overview": [
            whole, GROUPS.format(keys="", window=earlier, by="GROUP BY conclusion"), streaks,
            STREAKS.format(begin=2 * begin - end, end=begin),
            most.format("branch", window), most.format("author", window),
        ],
        "trends": [daily],
        "mttr": [whole, streaks],
        "performance": [
            daily, *(spread.format(name, f"{window} AND {KNOWN}") for name in ("duration_seconds", "queue_seconds")),
            top.format("duration_seconds", window, KNOWN),
        ],
        "comparison": [
            GROUPS.format(keys="repository_id, workflow_id, ", window=window, by="GROUP BY ALL"),
            "SELECT workflow_id, quantile_cont(duration_seconds, 0.95), quantile_cont(queue_seconds, 0.5) FROM runs"
            f" WHERE {window} AND {KNOWN} GROUP BY workflow_id",
        ],
        "failures": [
            daily, worst.format("branch", window), worst.format("author", window),
            top.format("completed_at", window, RED),
        ],
    }  # fmt: skip
    return asked.get(name, [])


@contextmanager
def loaded(path: Path) -> Iterator[Callable[[str, int, int], float | None]]:
    """Give a function that returns DuckDB's median ms for an answer; None where DuckDB is not installed."""
    try:
        import duckdb
    except ImportError:
        yield lambda *_: None
        return
    conn = duckdb.connect()
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        rows = sqlite3.connect(path).execute(f"SELECT {COLUMNS} FROM runs ORDER BY created_at")
        csv.writer(file).writerows([COLUMNS.replace(" ", "").split(","), *rows])
        file.flush()
        conn.execute(f"CREATE TABLE runs AS SELECT * FROM read_csv('{file.name}', header=true)")
    yield lambda name, begin, end: _timed(conn, statements(name, begin, end))
    conn.close()


def _timed(conn: Any, asked: list[str]) -> float | None:
    taken = []
    for _ in range(5 if asked else 0):
        began = time.perf_counter()
        for statement in asked:
            conn.execute(statement).fetchall()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken) if taken else None
