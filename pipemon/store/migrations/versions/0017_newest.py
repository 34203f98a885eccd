"""The newest runs of a workflow are found in columns: their index holds no more than its order."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.drop_index("ix_runs_workflow_completed", "runs")
    op.create_index("ix_runs_workflow_completed", "runs", ["workflow_id", "completed_at", "id"])
