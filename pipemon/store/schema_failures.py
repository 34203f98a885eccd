"""The tables of what failed and why. Moments are Unix seconds, UTC."""

import sqlalchemy as sa

from pipemon.store.schema import Id, Moment, metadata

# One row per failed job, from the moment it is known to have failed; its log is read soon after.
failures = sa.Table(
    "failures",
    metadata,
    sa.Column("job_id", Id, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("completed_at", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # wanted; then read, expired, missing, unreadable; or left_out
    sa.Column("due_at", Moment, nullable=False),  # while wanted: not asked for before
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("step", sa.Text),
    sa.Column("step_number", sa.Integer),
    sa.Column("signature", sa.Text),  # 16 hex digits: the same for all that failed for this reason
    sa.Column("title", sa.Text),
    sa.Column("platform", sa.Boolean, nullable=False, default=False),  # the machine failed, not the code
    sa.Column("lines", sa.Text, nullable=False, default="[]"),  # JSON list of [number, timestamp, level, message]
    sa.Index(
        "ix_failures_wanted",
        "due_at",
        sqlite_where=sa.text("state = 'wanted'"),
        postgresql_where=sa.text("state = 'wanted'"),
    ),
    sa.Index("ix_failures_run", "run_id"),
    sa.Index("ix_failures_signature", "signature", "completed_at"),
)

# What successful jobs print: of each workflow's job, the last few logs that were read, as fingerprints of lines.
green_logs = sa.Table(
    "green_logs",
    metadata,
    sa.Column("job_id", Id, primary_key=True, autoincrement=False),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("workflow_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("read_at", Moment, nullable=False),
    sa.Column("fingerprints", sa.LargeBinary, nullable=False),  # 8 bytes each, little-endian
    sa.Index("ix_green_logs_job", "repository_id", "workflow_id", "name"),
)
