"""Deployments."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("sha", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("creator", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("statuses", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("deployed_at", sa.BigInteger(), nullable=True),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("statuses_of", sa.BigInteger(), nullable=True),
        sa.Column("compared_with", sa.Text(), nullable=True),
        sa.Column("comparison", sa.Text(), nullable=True),
        sa.Column("ahead_by", sa.Integer(), nullable=True),
        sa.Column("behind_by", sa.Integer(), nullable=True),
        sa.Column("commits", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("blamed_id", sa.BigInteger(), nullable=True),
        sa.Column("previous_id", sa.BigInteger(), nullable=True),
        sa.Column("verdict_version", sa.Integer(), nullable=True),
        sa.Column("overruled_kind", sa.Text(), nullable=True),
        sa.Column("overruled_by", sa.Text(), nullable=True),
        sa.Column("overruled_at", sa.BigInteger(), nullable=True),
        sa.Column("overruled_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_deployments_repository_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        batch_op.create_index("ix_deployments_created", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_deployments_deployed", ["repository_id", "deployed_at", "id"], unique=False)
        batch_op.create_index(
            "ix_deployments_history", ["repository_id", "environment", "finished_at", "id"], unique=False
        )
        batch_op.create_index("ix_deployments_kind", ["kind", "deployed_at"], unique=False)
    op.create_table(
        "deployment_reads",
        sa.Column(
            "repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("filled_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_deployment_reads_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", name=op.f("pk_deployment_reads")),
    )
    # Deliveries of deployments were kept for this day: now they wait to be applied, as any other.
    op.execute(
        "UPDATE deliveries SET result = NULL, applied_at = NULL WHERE result = 'kept' AND body IS NOT NULL"
        " AND event IN ('deployment', 'deployment_status')"
    )
