"""The tables of what people did: actions asked of GitHub, and the audit of every write and refusal."""

import sqlalchemy as sa

from pipemon.store.schema import Id, Moment, metadata

# An action's intent is stored before GitHub is asked; how it ended, after. A key is asked of GitHub at most once.
actions = sa.Table(
    "actions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("key", sa.Text),  # the caller's Idempotency-Key
    sa.Column("verb", sa.Text, nullable=False),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("build_id", sa.BigInteger, nullable=False),
    sa.Column("job_id", sa.BigInteger),
    sa.Column("debug", sa.Boolean, nullable=False),
    sa.Column("run_attempt", sa.Integer, nullable=False),  # the latest one when it was asked
    sa.Column("state", sa.Text, nullable=False),  # asked, accepted, refused, unknown
    sa.Column("status", sa.Integer),  # of our answer, where it was refused
    sa.Column("reason", sa.Text),
    sa.Column("asked_at", sa.Float(53), nullable=False),  # when its intent was stored
    sa.Column("slot_at", sa.Float(53), nullable=False),  # when GitHub is asked: a second after the one before
    sa.Column("ended_at", Moment),
    sa.UniqueConstraint("caller", "key"),
    sa.Index(
        "ix_actions_asked",
        "slot_at",
        sqlite_where=sa.text("state = 'asked'"),
        postgresql_where=sa.text("state = 'asked'"),
    ),
    sa.Index("ix_actions_slot", "slot_at"),
)

# Every write, begun before it is done and closed after it, and every refusal. Rows are never changed otherwise.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("caller", sa.Text, nullable=False),  # the key's name, or anonymous
    sa.Column("address", sa.Text),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),  # done, refused, failed; none: it was never told how it ended
    sa.Column("status", sa.Integer),
    sa.Column("detail", sa.Text),
    sa.Index("ix_audit_at", "at"),
)
