"""The same answers by DuckDB from the same rows, and the numbers in them, as `benchmarks.answers` names them.

Its statements tell what our answers tell, as plainly as SQL can; where ours walk a list in Python (critical paths,
change points, kinds of deployments), DuckDB only hands out the rows that they walk.
"""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import duck_jobs
from benchmarks.answers import MOST_LISTED, Told
from benchmarks.duck_jobs import FAILED, RED
from benchmarks.world import DAY_SECONDS, NOW

DECISIVE = f"(conclusion = 'success' OR conclusion IN {FAILED})"
MOST_TIMES, MOST_MS = 5, 500.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of DuckDB: the window [begin, end), and the filters as SQL over a run, and over an incident."""

    conn: Any
    begin: int
    end: int
    wanted: Mapping[str, Any]

    @property
    def days(self) -> int:
        """The window's days."""
        return (self.end - self.begin) // DAY_SECONDS

    @property
    def line(self) -> str:
        """The conditions that hold for all runs of a workflow on a branch, if for one."""
        names = {"branch": "branch", "workflow": "workflow_id", "repository": "repository_id"}
        return " AND ".join(
            ["true", *(f"{names[key]} = '{value}'" for key, value in self.wanted.items() if key in names)]
        )

    @property
    def event(self) -> str:
        """The condition on the event."""
        if not self.wanted.get("pull_requests", True):
            return "NOT starts_with(event, 'pull_request')"
        return f"event = '{self.wanted['event']}'" if "event" in self.wanted else "true"

    @property
    def runs(self) -> str:
        """The conditions of the window's runs."""
        return f"created_at >= {self.begin} AND created_at < {self.end} AND {self.line} AND {self.event}"

    def before(self) -> "Question":
        """Return the same of the window before."""
        return Question(self.conn, 2 * self.begin - self.end, self.begin, self.wanted)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the statement finds."""
        found: list[tuple[Any, ...]] = self.conn.execute(statement).fetchall()
        return found


def _ends(asked: Question, by: str = "0") -> list[tuple[Any, ...]]:
    """Return how the window's runs ended: (stretch, conclusion, how many, with a duration, seconds)."""
    return asked.rows(
        f"SELECT {by} AS stretch, conclusion, count(*), count(duration_seconds), sum(duration_seconds) FROM runs"
        f" WHERE {asked.runs} GROUP BY ALL"
    )


def _counts(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    good = sum(row[2] for row in rows if row[1] == "success")
    decisive = [row for row in rows if row[1] == "success" or row[1] in RED]
    timed, seconds = sum(row[3] for row in decisive), sum(row[4] or 0 for row in decisive)
    bad = sum(row[2] for row in decisive) - good
    return {"builds": sum(row[2] for row in rows), "succeeded": good, "failed": bad, "timed": timed,
            "mean": seconds / timed if timed else None}  # fmt: skip


def _streaks(asked: Question) -> None:
    """Make the red streaks of all time as a table."""
    order = "PARTITION BY repository_id, workflow_id, branch, pr ORDER BY run_number, run_attempt, id"
    asked.rows(f"""
CREATE OR REPLACE TEMP TABLE streaks AS
WITH tried AS (SELECT repository_id, workflow_id, branch, starts_with(event, 'pull_request') AS pr, event, run_number,
    a.run_attempt, id, a.conclusion <> 'success' AS red, coalesce(a.completed_at, a.updated_at) AS opened
    FROM (SELECT id, repository_id, workflow_id, branch, event, run_number FROM runs WHERE {asked.line})
    JOIN (SELECT run_id, run_attempt, conclusion, completed_at, updated_at FROM attempts) a ON a.run_id = id
    WHERE a.conclusion = 'success' OR a.conclusion IN {FAILED}),
marked AS (SELECT *, lag(red) OVER w AS was FROM tried WINDOW w AS ({order})),
edges AS (SELECT *, lead(opened) OVER w AS ended, lead(id) OVER w AS ended_by FROM marked
    WHERE red <> coalesce(was, false) WINDOW w AS ({order}))
SELECT *, greatest(ended - opened, 0) AS seconds FROM edges WHERE red AND {asked.event}""")


def _recovered(asked: Question) -> tuple[Any, ...]:
    """Return how many streaks ended in the window, their mean, median and p90, and how many are open."""
    inside = f"ended >= {asked.begin} AND ended < {asked.end}"
    still = f"opened >= {asked.begin} AND opened < {asked.end} AND (ended IS NULL OR ended >= {asked.end})"
    n, mean, spread, still_open = asked.rows(
        f"SELECT count(*) FILTER ({inside}), avg(seconds) FILTER ({inside}), quantile_cont(seconds, [0.5, 0.9])"
        f" FILTER ({inside}), count(*) FILTER ({still}) FROM streaks"
    )[0]
    return n, mean, *(spread or (None, None)), still_open


def _overview(asked: Question) -> Told:
    first = asked.rows(f"""
SELECT conclusion, count(*) FROM (SELECT conclusion FROM runs WHERE {asked.runs} AND run_attempt = 1 UNION ALL
    SELECT a.conclusion FROM (SELECT id FROM runs WHERE {asked.runs} AND run_attempt > 1)
    JOIN attempts a ON a.run_id = id AND a.run_attempt = 1) GROUP BY 1""")
    good = dict(first).get("success", 0)
    _ends_before = _counts(_ends(asked.before()))
    _streaks(asked)
    now, earlier = _recovered(asked), _recovered(asked.before())
    most = "SELECT {0} FROM runs WHERE {1} AND {0} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    branch, author = ([row[0] for row in asked.rows(most.format(name, asked.runs))] for name in ("branch", "author"))
    keys = {} if {"branch", "workflow", "event"} & asked.wanted.keys() else duck_jobs.keys(asked)
    return _counts(_ends(asked)) | keys | {
        "before": _ends_before["builds"], "first good": good,
        "first bad": sum(count for end, count in first if end in RED), "recovered": now[0], "mttr": now[1],
        "mttr median": now[2], "mttr before": earlier[1], "branch": branch[0] if branch else None,
        "author": author[0] if author else None,
    }  # fmt: skip


def _trends(asked: Question) -> Told:
    told = _counts(_ends(asked, f"created_at // {DAY_SECONDS}"))
    return {"n": told["succeeded"] + told["failed"], "timed": told["timed"]}


def _recoveries(asked: Question) -> Told:
    _streaks(asked)
    n, mean, half, most, still_open = _recovered(asked)
    inside = f"(ended >= {asked.begin} AND ended < {asked.end})"
    still = f"(opened >= {asked.begin} AND opened < {asked.end} AND (ended IS NULL OR ended >= {asked.end}))"
    listed = "SELECT s.*, r.name, r.sha, r.author FROM streaks s JOIN runs r ON r.id = s.id WHERE {0}"
    listed += f" ORDER BY opened DESC, s.id DESC LIMIT {MOST_LISTED}"
    rows = asked.rows(listed.format(f"{inside} OR {still}"))
    asked.rows(listed.format(still))
    asked.rows(f"SELECT ended // {DAY_SECONDS}, count(*), sum(seconds) FROM streaks WHERE {inside} GROUP BY 1")
    return {"recovered": n, "mttr": mean, "median": half, "p90": most, "open": still_open, "listed": len(rows),
            "failures": _counts(_ends(asked))["failed"]}  # fmt: skip


def _performance(asked: Question) -> Told:
    _ends(asked, f"created_at // {DAY_SECONDS}")
    spread = "SELECT count({0}), avg({0}), min({0}), max({0}), quantile_cont({0}, [0.5, 0.75, 0.9, 0.95, 0.99]) FROM"
    spread += f" runs WHERE {asked.runs} AND {DECISIVE}"
    (n, mean, _, _, took), (*_, waited) = (
        asked.rows(spread.format(f"{name}_seconds"))[0] for name in ("duration", "queue")
    )
    slow = asked.rows(
        f"SELECT id, branch, sha, commit_message, author, url FROM runs WHERE {asked.runs} AND {DECISIVE}"
        " ORDER BY duration_seconds DESC, id DESC LIMIT 10"
    )
    duck_jobs.newest_jobs(asked)
    duck_jobs.series(asked)
    took, waited = took or [None] * 5, waited or [None] * 5
    return {"n": n, "mean": mean, "median": took[0], "p95": took[3], "queue median": waited[0],
            "queue p95": waited[3], "slowest": slow[0][0] if slow else None}  # fmt: skip


def _failures(asked: Question) -> Told:
    worst = f"SELECT {{0}}, count(*), count(*) FILTER (conclusion IN {FAILED}) AS bad FROM runs WHERE {asked.runs}"
    worst += " AND {0} IS NOT NULL GROUP BY 1 HAVING bad > 0 ORDER BY bad DESC, 1 LIMIT 10"
    branch, author = asked.rows(worst.format("branch")), asked.rows(worst.format("author"))
    recent = asked.rows(
        f"SELECT completed_at, id, branch, sha, commit_message, author, url FROM runs WHERE {asked.runs} AND conclusion"
        f" IN {FAILED} ORDER BY completed_at DESC, id DESC LIMIT 10"
    )
    late = Question(asked.conn, max(asked.begin, asked.end - 14 * DAY_SECONDS), asked.end, asked.wanted)
    duck_jobs.flaky(late)
    return {
        "failed": _counts(_ends(asked, f"created_at // {DAY_SECONDS}"))["failed"],
        "branch": branch[0][2] if branch else None, "author": author[0][2] if author else None,
        "newest": recent[0][0] if recent else None, "reason": duck_jobs.signatures(asked, 10)["first"],
    } | duck_jobs.failing(asked)  # fmt: skip


def _comparison(asked: Question) -> Told:
    rows = asked.rows(
        "SELECT workflow_id, count(*), count(*) FILTER (conclusion = 'success'),"
        f" count(*) FILTER (conclusion IN {FAILED}),"
        f" sum(duration_seconds) FILTER ({DECISIVE}), quantile_cont(duration_seconds, 0.95) FILTER ({DECISIVE}),"
        f" quantile_cont(queue_seconds, 0.5) FILTER ({DECISIVE}), any_value(name) AS name FROM runs WHERE {asked.runs}"
        " GROUP BY repository_id, workflow_id ORDER BY 2 DESC, name, 1"
    )
    duck_jobs.cost(asked)
    return {"workflows": len(rows), "builds": sum(row[1] for row in rows), "p95": rows[0][5] if rows else None,
            "queue": rows[0][6] if rows else None}  # fmt: skip


ASKED: dict[str, Callable[[Any], Told]] = {
    "overview": _overview,
    "trends": _trends,
    "mttr, incidents": _recoveries,
    "performance": _performance,
    "failures": _failures,
    "signatures": duck_jobs.signatures,
    "comparison": _comparison,
    "regressions": duck_jobs.series,
    "dora": duck_jobs.keys,
    "flaky": duck_jobs.flaky,
    "queue": duck_jobs.queue,
    "cost": duck_jobs.cost,
}


@contextmanager
def beside(path: Path) -> Iterator[Callable[[str, int, Mapping[str, Any]], tuple[float, Told]]]:
    """Give a function that returns DuckDB's median milliseconds, and the numbers."""
    conn = importlib.import_module("duckdb").connect(str(path), read_only=True)

    def ask(name: str, days: int, wanted: Mapping[str, Any]) -> tuple[float, Told]:
        asked, taken, told = Question(conn, NOW - days * DAY_SECONDS, NOW, wanted), list[float](), Told()
        while len(taken) < 2 or (len(taken) < MOST_TIMES and sum(taken) < MOST_MS):
            began = time.perf_counter()
            told = ASKED[name](asked)
            taken.append((time.perf_counter() - began) * 1000)
        return median(taken), told

    yield ask
    conn.close()
