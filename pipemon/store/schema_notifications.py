"""The tables of what people are told."""

import sqlalchemy as sa

from pipemon.store.schema import Id, Moment, metadata

notification_rules = sa.Table(
    "notification_rules",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("trigger_events", sa.Text, nullable=False),  # JSON list of names
    sa.Column("conditions", sa.Text, nullable=False),  # JSON list of {type, value}
    sa.Column("channels", sa.Text, nullable=False),  # JSON list of names
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # rises with every change: of two at once, one is refused
    sa.Column("quiet_hours", sa.Text),  # JSON object {from, to, tz, days}: what is told within them waits
    sa.Column("muted_until", Moment),
)

# What is to be told, is being told, and was: the outbox and its history.
notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("dedupe_key", sa.Text, nullable=False, unique=True),
    sa.Column("rule_id", sa.BigInteger),  # none: somebody sent it by hand
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("group_key", sa.Text),  # rule, repository, workflow and branch; messages of one are told together
    sa.Column("kind", sa.Text, nullable=False),  # opener, summary, recovery, single, digest
    sa.Column("event_type", sa.Text),
    sa.Column("event_id", sa.BigInteger),
    sa.Column("represents", sa.Integer, nullable=False),  # so many events
    sa.Column("message", sa.Text, nullable=False),  # JSON
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # pending, leased, retry, sent, dead, suppressed
    sa.Column("why", sa.Text),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("possible_duplicate", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", sa.Float(53), nullable=False),
    sa.Column("due_at", sa.Float(53), nullable=False),
    sa.Column("leased_until", sa.Float(53)),
    sa.Column("sent_at", sa.Float(53)),
    sa.Column("error", sa.Text),  # what came of the last try that failed
    sa.Column("reference", sa.Text),  # what its channel calls it
    sa.Index(
        "ix_notifications_waiting",
        "channel",
        "due_at",
        sqlite_where=sa.text("state IN ('pending', 'retry', 'leased')"),
        postgresql_where=sa.text("state IN ('pending', 'retry', 'leased')"),
    ),
    sa.Index("ix_notifications_group", "group_key", "id"),
    sa.Index("ix_notifications_created", "created_at"),
    sa.Index("ix_notifications_event", "event_id"),
)

notification_channels = sa.Table(
    "notification_channels",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),  # of its settings: where they change, it is tried again
    sa.Column("disabled_why", sa.Text),
    sa.Column("next_at", sa.Float(53), nullable=False),  # nothing is sent before
    sa.Column("last_sent_at", sa.Float(53)),
    sa.Column("last_failed_at", sa.Float(53)),
    sa.Column("last_error", sa.Text),
)

# One row: where dispatch stands in the log, and the settings that can change at run time.
notification_state = sa.Table(
    "notification_state",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("last_event_id", sa.BigInteger, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # JSON object
    sa.Column("rules_revision", sa.BigInteger, nullable=False, server_default="0"),  # rises with each change of a rule
)
