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

# How often something of the runs created on a day (UTC) has changed: it moves in the transaction of the change.
days = sa.Table(
    "days",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),  # created_at // 86400
    sa.Column("touched", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.BigInteger),  # `touched` as it was when its pages were made: they hold while both are equal
    sa.Column("following", sa.BigInteger),  # that of the next day then: which jobs were superseded depends on it
    sa.Column("format", sa.Integer, nullable=False, server_default="0"),  # how its pages are written
)

# A day's runs, jobs and failures in columns (queries.pages): made when it has come to rest, and at any time anew.
pages = sa.Table(
    "pages",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
