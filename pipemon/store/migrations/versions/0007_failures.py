"""Why jobs failed. Jobs that failed in the last week, before this version, are read too."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WEEK_SECONDS = 7 * 86400


def upgrade() -> None:
    op.create_table(
        "failures",
        sa.Column("job_id", ID, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text()),
        sa.Column("step_number", sa.Integer()),
        sa.Column("signature", sa.Text()),
        sa.Column("title", sa.Text()),
        sa.Column("platform", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_failures")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_failures_repository_id")),
    )
    wanted = sa.text("state = 'wanted'")
    op.create_index("ix_failures_wanted", "failures", ["due_at"], sqlite_where=wanted, postgresql_where=wanted)
    op.create_index("ix_failures_run", "failures", ["run_id"])
    op.create_index("ix_failures_signature", "failures", ["signature", "completed_at"])
    op.create_table(
        "green_logs",
        sa.Column("job_id", ID, autoincrement=False, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("workflow_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprints", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_green_logs")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_green_logs_repository_id")),
    )
    op.create_index("ix_green_logs_job", "green_logs", ["repository_id", "workflow_id", "name"])
    now = int(time.time())
    op.get_bind().execute(
        sa.text(
            "INSERT INTO failures (job_id, run_id, repository_id, completed_at, state, due_at, tries, platform, lines)"
            " SELECT id, run_id, repository_id, completed_at, 'wanted', :now, 0, :no, '[]' FROM jobs"
            " WHERE conclusion IN ('failure', 'timed_out', 'startup_failure') AND completed_at >= :since"
        ).bindparams(sa.bindparam("no", False, sa.Boolean())),
        {"now": now, "since": now - WEEK_SECONDS},
    )
