"""What DuckDB is asked about jobs and deployments. Each function takes a `benchmarks.duck.Question`."""

from typing import Any

from benchmarks.answers import PRICES, Told

RED = ("failure", "startup_failure", "timed_out")
FAILED, DECISIVE = str(RED), str(("success", *RED))
PLATFORM = "Set up job|Set up runner|Initialize containers"
SLACK_SECONDS = 2


def chosen(asked: Any, more: str = "", columns: str = "*") -> str:
    """Return the window's runs as a subquery: their columns share names with those of jobs."""
    return f"(SELECT {columns} FROM runs WHERE {asked.runs} {more}) r"


def ran(of: str) -> str:
    """Return the conditions that a job ran in its attempt."""
    return (
        f"{of}.status = 'completed' AND {of}.completed_at >= {of}.started_at AND {of}.conclusion <> 'skipped'"
        f" AND {of}.started_at >= {of}.created_at - {SLACK_SECONDS}"
        f" AND NOT ({of}.conclusion = 'cancelled' AND {of}.steps = '[]')"
    )


def flaky(asked: Any) -> Told:
    """Jobs that failed and succeeded on one commit; failures of the platform apart."""
    asked.rows(f"""
CREATE OR REPLACE TEMP TABLE commits AS
WITH one AS (SELECT r.repository_id, r.workflow_id, j.name, r.sha, r.id, r.created_at, j.conclusion = 'success' AS good,
    j.conclusion <> 'success' AND (coalesce(f.platform, false) OR (j.conclusion = 'failure' AND j.steps <> '[]' AND (
        NOT regexp_matches(j.steps, '"completed","(failure|startup_failure|timed_out)",') OR
        regexp_matches(j.steps, '"({PLATFORM})","completed","(failure|startup_failure|timed_out)",')))) AS platform
    FROM {chosen(asked, "AND sha IS NOT NULL", "id, repository_id, workflow_id, sha, created_at")}
    JOIN jobs j ON j.run_id = r.id LEFT JOIN failures f ON f.job_id = j.id
    WHERE j.conclusion IN {DECISIVE})
SELECT repository_id, workflow_id, name, sha, max(good::INT) AS good, max((NOT good AND NOT platform)::INT) AS bad,
    sum(platform::INT) AS platform, max(created_at) AS newest, max(id) FILTER (good) AS good_in,
    max(id) FILTER (NOT good AND NOT platform) AS bad_in FROM one GROUP BY ALL""")
    rows = asked.rows(
        "SELECT repository_id, workflow_id, name, count(*) FILTER (good + bad > 0), sum(good * bad), sum(platform)"
        " FROM commits GROUP BY ALL"
    )
    asked.rows(
        "SELECT workflow_id, name, sha, good_in, bad_in FROM commits WHERE good * bad = 1 ORDER BY newest DESC, sha"
    )
    n, both, platform = (sum(row[place] for row in rows) for place in (3, 4, 5))
    return {"n": n, "flaky": both, "platform": platform}


def queue(asked: Any) -> Told:
    """How long jobs waited, by labels and hour."""
    rows = asked.rows(f"""
SELECT labels, hour, count(*) FILTER (w >= -{SLACK_SECONDS}) AS n, quantile_cont(greatest(w, 0), [0.5, 0.9, 0.95])
    FILTER (w >= -{SLACK_SECONDS}), max(w), count(*) FILTER (w < -{SLACK_SECONDS}), count(*) FILTER (w IS NULL)
FROM (SELECT labels, j.created_at // 3600 % 24 AS hour, j.started_at - j.created_at AS w
    FROM {chosen(asked, columns="id")} JOIN jobs j ON j.run_id = r.id
    WHERE j.status <> 'queued' AND j.conclusion <> 'skipped' AND NOT (j.conclusion = 'cancelled' AND j.steps = '[]'))
GROUP BY GROUPING SETS ((), (hour), (labels), (labels, hour)) ORDER BY n DESC""")
    whole = next((row for row in rows if row[0] is None and row[1] is None), None)
    labels = [row for row in rows if row[0] is not None and row[1] is None]
    if whole is None or not whole[2]:
        return {"n": 0, "labels": 0}
    return {"n": whole[2], "median": whole[3][0], "p90": whole[3][1], "p95": whole[3][2], "longest": whole[4],
            "labels": len(labels), "first": labels[0][2]}  # fmt: skip


def cost(asked: Any) -> Told:
    """Minutes by workflow, labels and what they were for."""
    rows = asked.rows(f"""
WITH r AS (SELECT id, repository_id, workflow_id, branch, event, head_repository, run_number, run_attempt, conclusion,
    completed_at, updated_at FROM runs WHERE {asked.runs}),
overtaken AS (SELECT DISTINCT r.id FROM r JOIN runs n ON n.workflow_id = r.workflow_id AND n.branch = r.branch
    AND n.event = r.event AND n.head_repository = r.head_repository AND n.run_number > r.run_number
    AND n.created_at <= coalesce(r.completed_at, r.updated_at) WHERE r.conclusion = 'cancelled'),
again AS (SELECT a.run_id, a.name, max(a.run_attempt) AS last FROM r JOIN jobs a ON a.run_id = r.id
    WHERE r.run_attempt > 1 AND {ran("a")} GROUP BY ALL)
SELECT r.repository_id, r.workflow_id, j.labels, CASE WHEN j.conclusion IN {FAILED} THEN 'failed'
    WHEN r.conclusion = 'cancelled' AND o.id IS NOT NULL THEN 'superseded'
    WHEN r.conclusion = 'cancelled' OR j.conclusion = 'cancelled' THEN 'cancelled'
    WHEN j.run_attempt < r.run_attempt AND g.last > j.run_attempt THEN 'rerun' ELSE 'useful' END AS what,
    count(*), sum((j.completed_at - j.started_at + 59) // 60)
FROM r JOIN jobs j ON j.run_id = r.id LEFT JOIN overtaken o ON o.id = r.id
LEFT JOIN again g ON g.run_id = r.id AND g.name = j.name WHERE {ran("j")} GROUP BY ALL""")
    minutes: dict[str, int] = {}
    for *_, what, _, count in rows:
        minutes[what] = minutes.get(what, 0) + count
    prices = {'["ubuntu-latest"]': PRICES["ubuntu-*"], '["macos-14"]': PRICES["macos-*"]}
    dollars = sum(row[5] * prices.get(row[2], 0.0) for row in rows)
    return {"jobs": sum(row[4] for row in rows), "minutes": sum(minutes.values()), "dollars": float(dollars)} | {
        what: minutes.get(what, 0) for what in ("failed", "cancelled", "rerun", "superseded")
    }


def signatures(asked: Any, limit: int = 100) -> Told:
    """Failed jobs by reason, with where they were met."""
    found = chosen(asked, columns="id, repository_id, workflow_id, branch")
    rows = asked.rows(f"""
SELECT signature, count(*) AS n, count(DISTINCT f.run_id), max(job_id), max(platform::INT),
    list(DISTINCT r.repository_id), list(DISTINCT w.name), list(DISTINCT r.branch), list(DISTINCT j.name)
FROM failures f JOIN {found} ON r.id = f.run_id
JOIN jobs j ON j.id = f.job_id LEFT JOIN workflows w ON w.id = r.workflow_id
WHERE signature IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT {limit}""")
    asked.rows(
        "SELECT signature, min(completed_at), max(completed_at), count(*), count(DISTINCT run_id) FROM failures"
        " GROUP BY ALL"
    )
    total = asked.rows(f"SELECT count(signature), count(*) FROM failures f JOIN {found} ON r.id = f.run_id")[0][0]
    return {"n": total, "first": rows[0][1] if rows else None, "builds": rows[0][2] if rows else None}


def failing(asked: Any) -> Told:
    """The jobs that failed most often, and the newest failed jobs with their steps."""
    of = f"AND conclusion IN {FAILED}"
    latest = f"FROM {chosen(asked, of)} JOIN jobs j ON j.run_id = r.id AND j.run_attempt = r.run_attempt"
    rows = asked.rows(
        f"SELECT r.workflow_id, j.name, count(*), count(*) FILTER (j.conclusion IN {FAILED}) AS bad {latest}"
        f" WHERE j.conclusion IN {DECISIVE} GROUP BY ALL ORDER BY bad DESC, j.name LIMIT 10"
    )
    asked.rows(
        f"SELECT r.workflow_id, r.id, j.name, j.steps {latest} WHERE j.conclusion IN {FAILED}"
        " ORDER BY r.created_at DESC, r.id DESC, j.id DESC LIMIT 2000"
    )
    return {"job": rows[0][3] if rows else None}


def newest_jobs(asked: Any) -> None:
    """The jobs of the newest 500 runs, with their steps."""
    newest = chosen(asked, f"AND conclusion IN {DECISIVE} ORDER BY created_at DESC, id DESC LIMIT 500")
    asked.rows(f"SELECT r.id, j.* FROM {newest} JOIN jobs j ON j.run_id = r.id AND j.run_attempt = r.run_attempt")


def series(asked: Any) -> Told:
    """The newest 200 runs of the 40 busiest workflows, and the jobs of the newest 100 runs of the first 12."""
    lately = max(asked.begin, asked.end - 30 * 86400)
    decisive = f"conclusion IN {DECISIVE} AND {asked.runs}"
    busy = asked.rows(
        f"SELECT workflow_id FROM runs WHERE {decisive} AND created_at >= {lately} GROUP BY 1"
        " ORDER BY count(*) DESC, 1 LIMIT 40"
    )
    ids = ", ".join(str(row[0]) for row in busy) or "NULL"
    some = ", ".join(str(row[0]) for row in busy[:12]) or "NULL"
    newest = f"FROM runs WHERE {decisive} AND workflow_id IN ({{}}) QUALIFY row_number() OVER (PARTITION BY workflow_id"
    newest += " ORDER BY completed_at DESC, id DESC) <= {}"
    columns = (
        "id, workflow_id, run_number, run_attempt, sha, created_at, url, conclusion, duration_seconds, queue_seconds"
    )
    asked.rows(f"SELECT {columns} {newest.format(ids, 200)} ORDER BY workflow_id, run_number")
    asked.rows(
        f"SELECT r.id, j.name, j.conclusion, j.completed_at - j.started_at, j.started_at - j.created_at FROM"
        f" (SELECT {columns} {newest.format(some, 100)}) r"
        " JOIN jobs j ON j.run_id = r.id AND j.run_attempt = r.run_attempt"
    )
    return {"workflows": len(busy)}


def keys(asked: Any) -> Told:
    """The four keys, of both windows, by environment and together."""
    begin, end = 2 * asked.begin - asked.end, asked.end
    only = f"AND repository_id = {asked.wanted['repository']}" if "repository" in asked.wanted else ""
    inside = f"finished_at >= {begin} AND finished_at < {end} {only}"
    now = f"ended >= {asked.begin}"
    counted = asked.rows(f"""
SELECT repository_id, environment, finished_at >= {asked.begin} AS now, count(deployed_at),
    count(*) FILTER (kind IN ('first', 'change') AND state IN ('failure', 'error')), count(*) FROM deployments
WHERE {inside} GROUP BY GROUPING SETS ((now), (now, repository_id, environment))""")
    lead = asked.rows(f"""
SELECT count(*), quantile_cont(greatest(ended - wrote, 0), [0.5, 0.9]) FROM (
    SELECT deployed_at AS ended, unnest(from_json(commits, '[["VARCHAR"]]'))[2]::BIGINT AS wrote
    FROM deployments WHERE {inside} AND deployed_at IS NOT NULL AND comparison = 'ahead')
GROUP BY {now} ORDER BY {now}""")
    restored = asked.rows(f"""
SELECT count(*) FILTER ({now}), quantile_cont(mended - failed_at, 0.5) FILTER ({now}) FROM (
    SELECT failed_at, mended, mended AS ended FROM (SELECT *, min(deployed_at) OVER (PARTITION BY repository_id,
        environment ORDER BY finished_at ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS mended FROM deployments
        WHERE true {only})
    WHERE failed_at IS NOT NULL AND mended >= {begin} AND mended < {end})""")[0]
    whole = next(row for row in counted if row[0] is None and row[2])
    return {"deployments": whole[3], "failed changes": whole[4], "commits": lead[-1][0], "lead": lead[-1][1][0],
            "restored": restored[0], "restore": restored[1]}  # fmt: skip
