"""Runs that deploy stand in where GitHub knows of no deployments."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("source", sa.Text(), nullable=False, server_default="github"))
    with op.batch_alter_table("deployments") as table:
        table.alter_column("source", server_default=None)
