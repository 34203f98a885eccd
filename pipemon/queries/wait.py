"""How long a job that waits for a runner now will have to wait, from how long others waited."""

import sqlalchemy as sa

from pipemon.analytics.stats import percentile
from pipemon.domain.runs import QUEUED, STAMP_SLACK_SECONDS
from pipemon.queries.scope import UNFINISHED, Scope, in_repositories, where
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs

DAY_SECONDS = 86400


def estimated_wait_seconds(db: Database, scope: Scope, as_of: int) -> float | None:
    """Return the median queue time of the last 24 hours for the runner labels that are waited for now.

    None where nothing waits, or nothing was measured for those labels.
    """
    ours = in_repositories(jobs.c.repository_id, scope.repositories)
    open_runs = sa.select(runs.c.id).where(UNFINISHED, *where(scope))
    waiting = (
        sa.select(jobs.c.labels)
        .distinct()
        .where(ours, sa.text("jobs.status <> 'completed'"), jobs.c.status.in_(sorted(QUEUED)))
        .where(jobs.c.run_id.in_(open_runs))
    )
    with db.read() as conn:
        labels = list(conn.execute(waiting).scalars())
    if not labels:
        return None
    seconds = jobs.c.started_at - jobs.c.created_at
    measured = (
        sa.select(seconds, sa.func.count())
        .where(
            ours,
            jobs.c.labels.in_(labels),
            jobs.c.started_at >= as_of - DAY_SECONDS,
            jobs.c.started_at < as_of,
            # One that still waits carries the moment of its creation as its start.
            jobs.c.status.in_(["in_progress", "completed"]),
            # A rerun copies passed jobs: new `created_at`, old `started_at`. Those did not wait.
            seconds >= -STAMP_SLACK_SECONDS,
            sa.func.coalesce(jobs.c.conclusion, "") != "skipped",
        )
        .group_by(seconds)
    )
    return percentile(((max(0, waited), count) for waited, count in db.heavy(measured)), 0.5)
