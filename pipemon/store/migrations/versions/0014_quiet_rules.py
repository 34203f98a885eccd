"""Rules have quiet hours and mutes, messages are threaded, and what an outage has hidden is looked for."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("notification_rules", sa.Column("quiet_hours", sa.Text(), nullable=True))
    op.add_column("notification_rules", sa.Column("muted_until", sa.BigInteger(), nullable=True))
    op.add_column(
        "notification_state", sa.Column("rules_revision", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("notifications", sa.Column("error", sa.Text(), nullable=True))
    op.add_column("notifications", sa.Column("reference", sa.Text(), nullable=True))
    op.create_index("ix_notifications_event", "notifications", ["event_id"])
    op.add_column("repositories", sa.Column("away_since", sa.BigInteger(), nullable=True))
