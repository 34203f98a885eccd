"""Deployments are packed for the four keys, which the service does; here they are listed. Newest runs are an index."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

FILL = """
INSERT INTO sheets (repository_id, environment, source, month, touched)
SELECT DISTINCT repository_id, environment, source, finished_at / 2592000, 0
FROM deployments WHERE finished_at IS NOT NULL
"""


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "sheets",
        sa.Column("id", number, nullable=False),
        sa.Column("repository_id", number, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.Column("packed", sa.BigInteger(), nullable=True),
        sa.Column("successes", sa.Integer(), nullable=True),
        sa.Column("rows", sa.LargeBinary(), nullable=True),
        sa.Column("leads", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sheets")),
    )
    op.execute(FILL)
    op.create_index("uq_sheets_line", "sheets", ["repository_id", "environment", "source", "month"], unique=True)
    known = ["repository_id", "environment", "source", "month", "touched", "packed", "successes"]
    op.create_index("ix_sheets_known", "sheets", known)
    newest = ["workflow_id", "completed_at", "id", "status", "conclusion", "duration_seconds", "queue_seconds"]
    newest += ["created_at", "repository_id", "deleted_at", "event", "run_number", "run_attempt", "branch"]
    op.drop_index("ix_runs_workflow_completed", "runs")
    op.create_index("ix_runs_workflow_completed", "runs", newest)
    op.create_index("ix_deployments_sha", "deployments", ["sha"])
    undoing = sa.text("coalesce(overruled_kind, kind) IN ('revert', 'rollback') AND deployed_at IS NOT NULL")
    op.drop_index("ix_deployments_kind", "deployments")
    op.create_index(
        "ix_deployments_undoing", "deployments", ["deployed_at", "id"], sqlite_where=undoing, postgresql_where=undoing
    )
    unread = sa.text("statuses_of IS NULL AND source = 'github'")
    op.create_index(
        "ix_deployments_unread", "deployments", ["repository_id", "created_at"],
        sqlite_where=unread, postgresql_where=unread,
    )  # fmt: skip
