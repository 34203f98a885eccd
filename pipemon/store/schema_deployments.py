"""The tables of deployments. Moments are Unix seconds, UTC."""

import sqlalchemy as sa

from pipemon.store.schema import Id, Moment, metadata

# Rollbacks and reverts. Spelled out, not bound: SQLite takes a partial index only for the very words of its condition.
UNDOING: sa.ColumnElement[bool] = sa.text(  # type: ignore[assignment]
    "coalesce(overruled_kind, kind) IN ('revert', 'rollback') AND deployed_at IS NOT NULL"
)

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),  # GitHub's
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("sha", sa.Text, nullable=False),
    sa.Column("ref", sa.Text),
    sa.Column("task", sa.Text),
    sa.Column("creator", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    # JSON list of [id, state, created_at, url], in the order of time
    sa.Column("statuses", sa.Text, nullable=False),
    # What follows from them
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("deployed_at", Moment),  # the first success
    sa.Column("failed_at", Moment),  # the first failure or error
    sa.Column("finished_at", Moment),  # deployed_at, else failed_at: its place in the environment's history
    sa.Column("url", sa.Text),
    sa.Column("statuses_of", Moment),  # `updated_at` of the list in which it was when its statuses were read whole
    # What changed since the deployment that was live before: read once
    sa.Column("compared_with", sa.Text),  # that one's commit
    sa.Column("comparison", sa.Text),  # ahead, behind, diverged, identical, unreadable
    sa.Column("ahead_by", sa.Integer),
    sa.Column("behind_by", sa.Integer),
    sa.Column("commits", sa.Text),  # JSON list of [sha, committed_at, message, author, is_merge], oldest first
    # The verdict, and what a person said instead
    sa.Column("kind", sa.Text),
    sa.Column("rule", sa.Text),
    sa.Column("evidence", sa.Text),  # JSON object
    sa.Column("blamed_id", sa.BigInteger),  # the deployment that it undid
    sa.Column("previous_id", sa.BigInteger),  # the one that was live before
    sa.Column("verdict_version", sa.Integer),  # counts the verdicts given; none yet: null
    sa.Column("overruled_kind", sa.Text),
    sa.Column("overruled_by", sa.Text),
    sa.Column("overruled_at", Moment),
    sa.Column("overruled_why", sa.Text),
    sa.Column("source", sa.Text, nullable=False, default="github"),  # workflow: a run stands in, and `id` is the run's
    sa.Index("ix_deployments_history", "repository_id", "environment", "finished_at", "id"),
    sa.Index("ix_deployments_created", "created_at", "id"),  # lists, newest first
    sa.Index("ix_deployments_deployed", "repository_id", "deployed_at", "id"),
    sa.Index("ix_deployments_undoing", "deployed_at", "id", sqlite_where=UNDOING, postgresql_where=UNDOING),
    sa.Index("ix_deployments_sha", "sha"),
    sa.Index(
        "ix_deployments_unread",
        "repository_id",
        "created_at",
        sqlite_where=sa.text("statuses_of IS NULL AND source = 'github'"),
        postgresql_where=sa.text("statuses_of IS NULL AND source = 'github'"),
    ),
)

# Thirty days of one environment's finished deployments, packed for the four keys (analytics/sheets.py). A sheet holds
# while `packed` and `touched` are equal; it can be made anew from the deployments.
sheets = sa.Table(
    "sheets",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("repository_id", Id, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("month", sa.Integer, nullable=False),  # finished_at // 30 days
    sa.Column("touched", sa.BigInteger, nullable=False),  # moves in the transaction that changes what is on it
    sa.Column("packed", sa.BigInteger),  # `touched` as it was when it was packed
    sa.Column("successes", sa.Integer),  # how many there are on it
    sa.Column("rows", sa.LargeBinary),
    sa.Column("leads", sa.LargeBinary),
    sa.Index("uq_sheets_line", "repository_id", "environment", "source", "month", unique=True),
    sa.Index(  # which there are, without a look at the sheets themselves
        "ix_sheets_known", *("repository_id", "environment", "source", "month", "touched", "packed", "successes")
    ),
)

# Whether GitHub lets us read a repository's deployments.
deployment_reads = sa.Table(
    "deployment_reads",
    metadata,
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), primary_key=True, autoincrement=False),
    sa.Column("read_at", Moment),
    sa.Column("filled_at", Moment),  # when history was read back to the oldest wanted
    sa.Column("error", sa.Text),  # why they can't be read: job environments and workflows stand in
)
