"""What analytics reads in the place of all runs. It can be made anew from them. Moments are Unix seconds, UTC."""

import sqlalchemy as sa

from pipemon.store.schema import Id, Moment, metadata

# One row per red streak of a line: a workflow on a branch, the runs of pull requests apart. `run_*` is the attempt that
# opened it. It moves in the transaction that moves the runs.
incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("run_id", Id, primary_key=True, autoincrement=False),
    sa.Column("run_attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("repository_id", Id, nullable=False),
    sa.Column("workflow_id", sa.BigInteger, nullable=False),
    sa.Column("branch", sa.Text),
    sa.Column("pull_request", sa.Boolean, nullable=False),
    sa.Column("event", sa.Text),
    sa.Column("run_number", sa.BigInteger, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),  # failed attempts
    sa.Column("last_number", sa.BigInteger, nullable=False),  # run number of the last of them
    sa.Column("last_green", sa.BigInteger),  # the run before it; none where no success is known
    sa.Column("recovered_at", Moment),
    sa.Column("recovered_by", sa.BigInteger),
    sa.Column("recovered_number", sa.BigInteger),  # run number of the one that recovered it
    sa.Index("ix_incidents_line", "workflow_id", "branch", "run_number"),
    # Each holds all that the numbers need, so that they are had without the rows.
    sa.Index("ix_incidents_recovered", "recovered_at", "opened_at", "repository_id", "workflow_id", "branch"),
    sa.Index("ix_incidents_opened", "opened_at", "recovered_at", "run_id"),
)

# Sums over all completed runs of a stretch of time, by `kind` and `item`: written when it has come to rest, read only
# while its row in `rolled` says that nothing has changed since.
rollups = sa.Table(
    "rollups",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),  # its length in seconds
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),  # created_at // level
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("pull_request", sa.Boolean, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("bad", sa.Integer, nullable=False),
    sa.Column("timed", sa.Integer, nullable=False),
    sa.Column("seconds", sa.BigInteger, nullable=False),  # of the timed ones together
    sa.Column("low", sa.Integer),
    sa.Column("high", sa.Integer),
    sa.Index("ix_rollups_bucket", "level", "bucket"),
    sqlite_with_rowid=False,
)

rolled = sa.Table(
    "rolled",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("touched", sa.BigInteger, nullable=False),  # moves in the transaction that changes a run of it
    sa.Column(
        "sealed", sa.BigInteger
    ),  # `touched` as it was when its rollups were made: they hold while both are equal
    sa.Column("basis", sa.Text, nullable=False),  # which repositories are in it, and which workflows are not
)
