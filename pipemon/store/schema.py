"""Every table, in one place. Moments are Unix seconds, UTC, as whole numbers (docs/decisions/001)."""

import sqlalchemy as sa

# SQLite only counts an INTEGER PRIMARY KEY by itself; GitHub's ids pass 2^31, so PostgreSQL needs BIGINT.
Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Moment = sa.BigInteger

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

repositories = sa.Table(
    "repositories",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # owner/name as configured
    sa.Column("github_id", sa.BigInteger),
    sa.Column("current_name", sa.Text),  # differs from `name` after a rename on GitHub
    sa.Column("default_branch", sa.Text),
    sa.Column("watched", sa.Boolean, nullable=False, default=True),
    sa.Column("live_since", Moment),  # watched without a gap since; what happened before is history, not news
    sa.Column("first_success_at", Moment),
    sa.Column("last_success_at", Moment),  # the last complete read of the newest runs, GitHub's clock
    sa.Column("due_by", Moment),  # fresh until then: the next read is planned before it
    sa.Column("interval_seconds", sa.Integer),
    sa.Column("last_error", sa.Text),
    sa.Column("last_error_at", Moment),
    sa.Column("swept_at", Moment),
    sa.Column("away_since", Moment),  # not read from then to `live_since`, and not looked yet for what that has hidden
)

workflows = sa.Table(
    "workflows",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),  # of its newest run; its identity is the id
    sa.Column("path", sa.Text),
    sa.Column("named_at", Moment, nullable=False),  # created_at of the run the name was taken from
)

runs = sa.Table(
    "runs",
    metadata,
    # What the run is
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("workflow_id", sa.BigInteger, nullable=False),
    sa.Column("run_number", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("event", sa.Text),
    sa.Column("branch", sa.Text),
    sa.Column("sha", sa.Text),
    sa.Column("head_repository", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("triggering_actor", sa.Text),
    sa.Column("author", sa.Text),  # the commit's author, else the actor: what dashboards show
    sa.Column("commit_message", sa.Text),
    sa.Column("commit_author_name", sa.Text),
    sa.Column("commit_author_email", sa.Text),
    sa.Column("committer_name", sa.Text),
    sa.Column("committer_email", sa.Text),
    sa.Column("committed_at", Moment),
    sa.Column("pull_requests", sa.Text, nullable=False, default="[]"),  # JSON list of numbers
    sa.Column("url", sa.Text),
    sa.Column("api_url", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    # Where its latest attempt stands: a copy of that row of `attempts`, so that a list is one table
    sa.Column("run_attempt", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("conclusion", sa.Text),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("completed_at", Moment),
    sa.Column("duration_seconds", sa.Integer),
    sa.Column("duration_source", sa.Text),  # "jobs", or "updated_at" where those are not known yet
    sa.Column("queue_seconds", sa.Integer),
    # What we know of it
    sa.Column("missing_since", Moment),  # first 404 by id
    sa.Column("deleted_at", Moment),  # tombstone: gone on GitHub, kept as history
    sa.Index("ix_runs_repository_created", "repository_id", "created_at", "deleted_at"),  # windows, and all counts
    sa.Index(  # windows over several repositories; it holds all that analytics asks, so that no row is read
        "ix_runs_window",
        *("created_at", "repository_id", "deleted_at", "status", "conclusion", "duration_seconds", "queue_seconds"),
        *("event", "workflow_id", "branch", "run_attempt", "author", "actor"),
    ),
    sa.Index("ix_runs_started", "started_at", "id"),  # lists, newest first
    sa.Index("ix_runs_repository_started", "repository_id", "started_at", "id"),
    sa.Index("ix_runs_branch_started", "branch", "started_at", "id"),
    sa.Index("ix_runs_workflow_branch", "workflow_id", "branch", "created_at"),  # the latest of a workflow on a branch
    sa.Index("ix_runs_workflow_completed", "workflow_id", "completed_at", "id"),  # its latest deployment
    sa.Index("ix_runs_workflow_created", "workflow_id", "created_at"),  # windows of one workflow
    sa.Index("ix_runs_line", "workflow_id", "branch", "run_number"),  # its neighbours there
    sa.Index("ix_runs_sha", "sha"),
    sa.Index(
        "ix_runs_unfinished",
        "repository_id",
        "created_at",
        sqlite_where=sa.text("status <> 'completed'"),
        postgresql_where=sa.text("status <> 'completed'"),
    ),
    sa.Index(
        "ix_runs_missing",
        "repository_id",
        sqlite_where=sa.text("missing_since IS NOT NULL"),
        postgresql_where=sa.text("missing_since IS NOT NULL"),
    ),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run_id", Id, sa.ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    sa.Column("run_attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("repository_id", Id, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("conclusion", sa.Text),
    sa.Column("started_at", Moment),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("settled_at", Moment),  # `updated_at` of the newest read by id: settles what is equal to the second
    sa.Column("triggering_actor", sa.Text),
    sa.Column("first_job_at", Moment),
    sa.Column("completed_at", Moment),
    sa.Column("duration_seconds", sa.Integer),
    sa.Column("duration_source", sa.Text),
    sa.Column("queue_seconds", sa.Integer),
    sa.Column("jobs_complete", sa.Boolean, nullable=False, default=False),  # its jobs are stored in their final state
    sa.Index(
        "ix_attempts_wanting",  # what still has to be read from GitHub, newest run first
        "repository_id",
        "run_id",
        sqlite_where=sa.text("jobs_complete = 0"),
        postgresql_where=sa.text("NOT jobs_complete"),
    ),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("run_id", Id, nullable=False),  # a job's delivery may come before its run's: no foreign key
    sa.Column("run_attempt", sa.Integer, nullable=False),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("conclusion", sa.Text),
    sa.Column("created_at", Moment),
    sa.Column("started_at", Moment),
    sa.Column("completed_at", Moment),
    sa.Column("runner_name", sa.Text),
    sa.Column("runner_group_name", sa.Text),
    sa.Column("labels", sa.Text, nullable=False, default="[]"),  # JSON list of strings
    sa.Column("url", sa.Text),
    # JSON list of [number, name, status, conclusion, started_at, completed_at]
    sa.Column("steps", sa.Text, nullable=False, default="[]"),
    sa.Index("ix_jobs_attempt", "run_id", "run_attempt"),
    sa.Index("ix_jobs_started", "repository_id", "started_at"),
    sa.Index(
        "ix_jobs_unfinished",
        "repository_id",
        sqlite_where=sa.text("status <> 'completed'"),
        postgresql_where=sa.text("status <> 'completed'"),
    ),
)

# One row. Its lock orders every append, so that ids are gap-free in commit order on PostgreSQL too.
event_log = sa.Table(
    "event_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Text, nullable=False),  # changes when the log was restored or lost its tail
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),  # moves with every change an answer can show
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("dedupe_key", sa.Text, nullable=False, unique=True),
    sa.Column("run_id", sa.BigInteger),
    sa.Column("run_attempt", sa.Integer),
    sa.Column("occurred_at", Moment, nullable=False),
    sa.Column("recorded_at", sa.Float(53), nullable=False),  # with its fraction: delays are measured from it
    sa.Column("historic", sa.Boolean, nullable=False),
    sa.Column("data", sa.Text, nullable=False),  # JSON object
    sa.Index("ix_events_run", "run_id"),
    sa.Index("ix_events_recorded", "recorded_at"),
)

# Which time ranges [from_at, to_at) of a repository, by `created_at`, were read to their end. `complete` is false
# where GitHub's cap of 1,000 cut even the smallest window: read, yet not all of it.
coverage = sa.Table(
    "coverage",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), nullable=False),
    sa.Column("from_at", Moment, nullable=False),
    sa.Column("to_at", Moment, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False, default=True),
    sa.Index("ix_coverage_repository", "repository_id", "from_at"),
)

# The backfill's checkpoint: the window being read now and its next page. At most one row per repository.
backfill = sa.Table(
    "backfill",
    metadata,
    sa.Column("repository_id", Id, sa.ForeignKey("repositories.id"), primary_key=True, autoincrement=False),
    sa.Column("from_at", Moment, nullable=False),
    sa.Column("to_at", Moment, nullable=False),
    sa.Column("next_page", sa.Integer, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False, default=True),
)

# The ETag that was last applied, per address: a 304 for any other one must apply the cached body again.
http_etags = sa.Table(
    "http_etags",
    metadata,
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("applied_at", Moment, nullable=False),
)

# What GitHub said of its limits, per token: remembered, so that a restart does not call into a forbidden window.
github_limits = sa.Table(
    "github_limits",
    metadata,
    sa.Column(
        "token_hash", sa.Text, primary_key=True
    ),  # 16 hex digits of its SHA-256: tells tokens apart, reveals none
    sa.Column("limit", sa.Integer),
    sa.Column("remaining", sa.Integer),
    sa.Column("reset_at", Moment),
    sa.Column("blocked_until", Moment),
    sa.Column("blocked_why", sa.Text),
    sa.Column("strikes", sa.Integer, nullable=False, default=0),  # secondary limits in a row: the wait doubles
    sa.Column("observed_at", Moment, nullable=False),
)

# Who polls, dispatches and prunes. A write under a lease carries the token; an older token is refused.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Float(53), nullable=False),
)

# GitHub's webhook deliveries, in the order of their arrival: stored before they are answered, applied behind.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("guid", sa.Text, nullable=False, unique=True),  # X-GitHub-Delivery: the same when it is sent again
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("action", sa.Text),
    sa.Column("repository", sa.Text),  # owner/name as it was told
    sa.Column("repository_id", sa.BigInteger),  # ours; none where it is not watched
    sa.Column("received_at", sa.Float(53), nullable=False),
    sa.Column("applied_at", sa.Float(53)),  # when the result was committed
    sa.Column("due_at", sa.Float(53), nullable=False),  # not taken before
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("result", sa.Text),  # applied, kept, ignored, failed; none while it waits
    sa.Column("why", sa.Text),
    sa.Column("size_bytes", sa.Integer, nullable=False, default=0),  # of the body as it is stored
    sa.Column("body", sa.LargeBinary),  # zlib; dropped when it has been of no use for a while
    sa.Index(
        "ix_deliveries_waiting",  # covers the count and the size of what waits
        "id",
        "due_at",
        "size_bytes",
        sqlite_where=sa.text("result IS NULL"),
        postgresql_where=sa.text("result IS NULL"),
    ),
    sa.Index("ix_deliveries_received", "received_at"),
)

# Tickets for the WebSocket: one use, one minute.
live_tickets = sa.Table(
    "live_tickets",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),  # hex SHA-256 of the ticket
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("expires_at", sa.Float(53), nullable=False),
)
