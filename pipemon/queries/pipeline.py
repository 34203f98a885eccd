"""The pipeline at a glance: how it stands, and how its builds of a window ended."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from pipemon.analytics.stats import Summary, rate, summarize
from pipemon.domain.runs import FAILED, is_decisive
from pipemon.queries import current, deployments, history, wait
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import (
    COMPLETED,
    HAS_FAILED,
    IS_DECISIVE,
    ON_OWN_BRANCH,
    SUCCEEDED,
    UNFINISHED,
    Condition,
    Query,
    Scope,
    where,
)
from pipemon.store.engine import Database
from pipemon.store.schema import repositories, runs, workflows

MOST_DEPLOYMENTS = 5
ACTIVE_BRANCH_SECONDS = 86400
MOST_BRANCHES = 1000


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the completed builds of a window ended. Rates are percentages of the decisive ones."""

    total: int
    succeeded: int
    failed: int

    @property
    def decisive(self) -> int:
        """How many enter a rate."""
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float:
        """Return the percentage that succeeded; 0 without a decisive build."""
        return rate(self.succeeded, self.decisive)

    @property
    def failure_rate(self) -> float:
        """Return the percentage that failed; 0 without a decisive build."""
        return rate(self.failed, self.decisive)


@dataclass(frozen=True, slots=True)
class Queue:
    """The builds that are not over. `wait_seconds` is None where nothing was measured."""

    activity: current.Activity
    wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What `/pipeline/overview` tells."""

    status: str
    outcomes: Outcomes
    queue: Queue
    deployments: tuple[deployments.Deployment, ...]
    running: tuple[current.CurrentRun, ...]
    history_complete: bool
    as_of: AsOf

    @property
    def newest_current(self) -> current.CurrentRun | None:
        """The running build that started last."""
        return self.running[0] if self.running else None


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the newest completed build ended."""

    conclusion: str | None
    completed_at: int | None
    duration_seconds: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """What `/pipeline/status` tells. `jobs` counts jobs; `branches` have a build now, or had one in the last day."""

    status: str
    jobs: current.Activity
    last_run: LastRun | None
    branches: tuple[str, ...]
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Metrics:
    """What `/pipeline/metrics` tells. `durations` (seconds) are those of decisive builds."""

    outcomes: Outcomes
    durations: Summary
    days: float
    history_complete: bool
    as_of: AsOf

    @property
    def builds_per_day(self) -> float:
        """Completed builds a day of the window."""
        return round(self.outcomes.total / self.days, 2)


def overview(db: Database, scope: Scope, rule: deployments.DeploymentRule, as_of: AsOf) -> Overview:
    """Return how the pipeline stands; the outcomes are of the scope's window, all else is of now."""
    now = _without_window(scope)
    with db.read() as conn:
        activity = current.count_runs(conn, now)
        complete = history.is_complete(conn, scope)
    return Overview(
        status=status_word(db, now, activity),
        outcomes=count_outcomes(db, scope),
        queue=Queue(activity, wait.estimated_wait_seconds(db, now, as_of.timestamp)),
        deployments=deployments.list_recent(db, now, rule, MOST_DEPLOYMENTS),
        running=current.list_running(db, now, as_of.timestamp) if activity.running_count else (),
        history_complete=complete,
        as_of=as_of,
    )


def status(db: Database, scope: Scope, as_of: AsOf) -> Status:
    """Return how the pipeline stands now."""
    with db.read() as conn:
        activity = current.count_runs(conn, scope)
        counted = current.count_jobs(conn, scope)
    branches = _active_branches(db, scope, as_of.timestamp)
    return Status(status_word(db, scope, activity), counted, _last_run(db, scope), branches, as_of)


def metrics(db: Database, scope: Scope, days: float, as_of: AsOf) -> Metrics:
    """Return how the completed builds of the scope's window ended and how long the decisive ones took.

    `days` is the length of that window.
    """
    query = sa.select(runs.c.conclusion, runs.c.duration_seconds, sa.func.count()).where(COMPLETED, *where(scope))
    rows = db.heavy(query.group_by(runs.c.conclusion, runs.c.duration_seconds))
    outcomes = Outcomes(
        total=sum(count for _, _, count in rows),
        succeeded=sum(count for conclusion, _, count in rows if conclusion == "success"),
        failed=sum(count for conclusion, _, count in rows if conclusion in FAILED),
    )
    known = [(seconds, count) for end, seconds, count in rows if is_decisive(end) and seconds is not None]
    with db.read() as conn:
        complete = history.is_complete(conn, scope)
    return Metrics(outcomes, summarize(known), days, complete, as_of)


def count_outcomes(db: Database, scope: Scope) -> Outcomes:
    """Return how the completed builds of the scope's window ended."""
    succeeded = sa.func.sum(sa.case((SUCCEEDED, 1), else_=0))
    failed = sa.func.sum(sa.case((HAS_FAILED, 1), else_=0))
    query: Query = sa.select(sa.func.count(), succeeded, failed).where(COMPLETED, *where(scope))
    total, good, bad = db.heavy(query)[0]
    return Outcomes(total, int(good or 0), int(bad or 0))


def status_word(db: Database, scope: Scope, activity: current.Activity) -> str:
    """Return running, failed, success, cancelled or idle (CONTRACT: "Counts").

    A failure only counts on a default branch, so the newest build's word is that of the newest that succeeded or was
    cancelled.
    """
    if activity.running_count or activity.queued_count:
        return "running"
    if db.heavy(_red_default_branch(scope)):
        return "failed"
    ended = runs.c.conclusion.in_(["success", "cancelled"])
    newest = sa.select(runs.c.conclusion).where(COMPLETED, ended, *where(scope))
    rows = db.heavy(newest.order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(1))
    return str(rows[0][0]) if rows else "idle"


def _red_default_branch(scope: Scope) -> Query:
    """Select a workflow of which the latest decisive build on the default branch failed."""
    latest = (
        sa.select(runs.c.conclusion)
        .where(runs.c.workflow_id == workflows.c.id, runs.c.branch == repositories.c.default_branch)
        .where(COMPLETED, IS_DECISIVE, ON_OWN_BRANCH, *where(scope))
        .order_by(runs.c.created_at.desc(), runs.c.run_number.desc())
        .limit(1)
        .correlate(workflows, repositories)
        .scalar_subquery()
    )
    return sa.select(workflows.c.id).join_from(workflows, repositories).where(latest.in_(sorted(FAILED))).limit(1)


def _last_run(db: Database, scope: Scope) -> LastRun | None:
    query = sa.select(runs.c.conclusion, runs.c.completed_at, runs.c.duration_seconds).where(COMPLETED, *where(scope))
    rows = db.heavy(query.order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(1))
    return LastRun(*rows[0]) if rows else None


def _active_branches(db: Database, scope: Scope, as_of: int) -> tuple[str, ...]:
    def branches(condition: Condition) -> Query:
        # NULL is left out below: as a condition it would draw the planner to the index by branch.
        return sa.select(runs.c.branch).where(condition, *where(scope))

    # Two statements in one: an OR of both conditions could use neither index.
    found: Query = sa.union(branches(runs.c.created_at >= as_of - ACTIVE_BRANCH_SECONDS), branches(UNFINISHED))
    return tuple(sorted(branch for (branch,) in db.heavy(found.limit(MOST_BRANCHES)) if branch))


def _without_window(scope: Scope) -> Scope:
    return replace(scope, created_from=None, created_to=None)
