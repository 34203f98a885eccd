"""A table of red streaks, filled from the attempts that are stored; sums over days, which the service fills."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0011"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WINDOW = ["created_at", "repository_id", "deleted_at", "status", "conclusion", "duration_seconds", "queue_seconds"]
WINDOW += ["event", "workflow_id", "branch", "run_attempt", "author", "actor"]
LINE = "PARTITION BY repository_id, workflow_id, branch, pull_request"
ORDER = f"{LINE} ORDER BY run_number, run_attempt, run_id"
FILL = f"""
INSERT INTO incidents (run_id, run_attempt, repository_id, workflow_id, branch, pull_request, event, run_number,
    opened_at, failures, last_number, last_green, recovered_at, recovered_by, recovered_number)
WITH decided AS (
    SELECT runs.repository_id, runs.workflow_id, runs.branch, runs.event,
        coalesce(runs.event, '') LIKE 'pull_request%' AS pull_request,
        runs.run_number, attempts.run_attempt, attempts.run_id,
        coalesce(attempts.completed_at, attempts.updated_at) AS ended_at,
        CASE WHEN attempts.conclusion = 'success' THEN 0 ELSE 1 END AS red
    FROM runs JOIN attempts ON attempts.run_id = runs.id
    WHERE runs.deleted_at IS NULL AND attempts.status = 'completed'
        AND attempts.conclusion IN ('success', 'failure', 'timed_out', 'startup_failure')
), placed AS (
    SELECT decided.*, row_number() OVER ({ORDER}) AS place, lag(red) OVER ({ORDER}) AS red_before,
        lag(run_id) OVER ({ORDER}) AS before, lag(run_number) OVER ({ORDER}) AS number_before,
        count(*) OVER ({LINE}) AS size, max(run_number) OVER ({LINE}) AS last_number
    FROM decided
), paired AS (
    SELECT placed.*, lead(ended_at) OVER ({LINE} ORDER BY place) AS recovered_at,
        lead(run_id) OVER ({LINE} ORDER BY place) AS recovered_by,
        lead(run_number) OVER ({LINE} ORDER BY place) AS recovered_number,
        lead(place) OVER ({LINE} ORDER BY place) AS next_place,
        lead(number_before) OVER ({LINE} ORDER BY place) AS last_red
    FROM placed WHERE coalesce(red_before, 0) <> red
)
SELECT run_id, run_attempt, repository_id, workflow_id, branch, pull_request, event, run_number, ended_at,
    coalesce(next_place, size + 1) - place, coalesce(last_red, last_number), before,
    recovered_at, recovered_by, recovered_number
FROM paired WHERE red = 1
"""  # noqa: S608 -- nothing from outside


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("run_attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("workflow_id", sa.BigInteger(), nullable=False),
        sa.Column("branch", sa.Text()),
        sa.Column("pull_request", sa.Boolean(), nullable=False),
        sa.Column("event", sa.Text()),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("last_green", sa.BigInteger()),
        sa.Column("recovered_at", sa.BigInteger()),
        sa.Column("recovered_by", sa.BigInteger()),
        sa.Column("recovered_number", sa.BigInteger()),
        sa.PrimaryKeyConstraint("run_id", "run_attempt", name=op.f("pk_incidents")),
    )
    op.execute(sa.text(FILL))
    op.create_index("ix_incidents_line", "incidents", ["workflow_id", "branch", "run_number"])
    covering = ["recovered_at", "opened_at", "repository_id", "workflow_id", "branch"]
    op.create_index("ix_incidents_recovered", "incidents", covering)
    op.create_index("ix_incidents_opened", "incidents", ["opened_at", "recovered_at", "run_id"])
    op.create_index("ix_runs_workflow_created", "runs", ["workflow_id", "created_at"])
    op.create_index("ix_runs_line", "runs", ["workflow_id", "branch", "run_number"])
    op.create_table(
        "rollups",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("pull_request", sa.Boolean(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.Column("timed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.Integer()),
        sa.Column("high", sa.Integer()),
        sa.PrimaryKeyConstraint("kind", "level", "bucket", "item", "pull_request", name=op.f("pk_rollups")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_rollups_bucket", "rollups", ["level", "bucket"])
    op.create_table(
        "rolled",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.BigInteger()),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("level", "bucket", name=op.f("pk_rolled")),
    )
    op.drop_index("ix_runs_created", "runs")
    op.create_index("ix_runs_window", "runs", WINDOW)
