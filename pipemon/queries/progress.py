"""How far a running build has come, from how its workflow's earlier builds went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipemon.analytics.stats import percentile
from pipemon.queries.scope import COMPLETED, IS_DECISIVE, Query
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs

# Enough for a median, few enough to read with their jobs at every look.
HISTORY_RUNS = 40
# As many earlier builds that stood at the same count of jobs say more than all the others.
ENOUGH_ALIKE = 3
MOST_PERCENT = 99.0


@dataclass(frozen=True, slots=True)
class PastRun:
    """How an earlier build went: seconds from its start to its end, and to the end of each of its jobs."""

    duration_seconds: int
    job_ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Percent done (0 to 99) and Unix seconds of the likely end; None without history. `overdue`: past its own p99."""

    percent: float | None = None
    eta: int | None = None
    eta_p90: int | None = None
    overdue: bool | None = None


def estimate(history: Sequence[PastRun], elapsed_seconds: int, jobs_completed: int | None, as_of: int) -> Progress:
    """Return where a build stands after so many seconds and completed jobs.

    The remaining time is the median (and p90) of what was left of earlier builds at that age, of those with as many
    jobs completed where there are some. A build older than all of them has no eta.
    """
    if not history:
        return Progress()
    longest = percentile(((past.duration_seconds, 1) for past in history), 0.99)
    overdue = longest is not None and elapsed_seconds > longest
    older = [past for past in history if past.duration_seconds > elapsed_seconds]
    alike = [past for past in older if sum(end <= elapsed_seconds for end in past.job_ends) == jobs_completed]
    sample = alike if len(alike) >= ENOUGH_ALIKE else older
    left = [(past.duration_seconds - elapsed_seconds, 1) for past in sample]
    median, p90 = percentile(left, 0.5), percentile(left, 0.9)
    if median is None or p90 is None:
        return Progress(MOST_PERCENT, None, None, overdue)
    percent = min(MOST_PERCENT, round(100 * elapsed_seconds / (elapsed_seconds + median), 1))
    return Progress(percent, as_of + round(median), as_of + round(p90), overdue)


def histories(db: Database, workflow_ids: Sequence[int]) -> Mapping[int, list[PastRun]]:
    """Return the newest decisive builds of each workflow, with their jobs' ends where those are known."""
    found: dict[int, list[PastRun]] = {workflow_id: [] for workflow_id in workflow_ids}
    with db.read() as conn:
        rows: list[Any] = [row for workflow_id in found for row in conn.execute(_past_runs(workflow_id))]
    ends = _job_ends(db, [row[0] for row in rows])
    for run_id, run_attempt, workflow_id, started_at, duration in rows:
        offsets = tuple(max(0, end - started_at) for end in ends.get((run_id, run_attempt), ()))
        found[workflow_id].append(PastRun(duration, offsets))
    return found


def _past_runs(workflow_id: int) -> Query:
    started_at = sa.func.coalesce(runs.c.started_at, runs.c.created_at)
    return (
        sa.select(runs.c.id, runs.c.run_attempt, runs.c.workflow_id, started_at, runs.c.duration_seconds)
        .where(runs.c.workflow_id == workflow_id, COMPLETED, IS_DECISIVE)
        # A duration up to `updated_at` may be hours too long: no measure for one that runs.
        .where(runs.c.duration_source == "jobs", runs.c.deleted_at.is_(None))
        .order_by(runs.c.created_at.desc())
        .limit(HISTORY_RUNS)
    )


def _job_ends(db: Database, run_ids: Sequence[int]) -> dict[tuple[int, int], list[int]]:
    query = sa.select(jobs.c.run_id, jobs.c.run_attempt, jobs.c.completed_at).where(
        jobs.c.run_id.in_(run_ids), jobs.c.completed_at.is_not(None)
    )
    ends: dict[tuple[int, int], list[int]] = {}
    for run_id, run_attempt, completed_at in db.heavy(query) if run_ids else ():
        ends.setdefault((run_id, run_attempt), []).append(completed_at)
    return ends
