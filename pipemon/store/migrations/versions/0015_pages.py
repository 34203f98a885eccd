"""Days of runs are kept in columns; the sums that they take the place of go."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

MARK = """
INSERT INTO days (day, touched)
SELECT DISTINCT at / 86400, 1 FROM (SELECT created_at AS at FROM runs UNION SELECT opened_at FROM incidents) AS moments
"""


def upgrade() -> None:
    op.create_table(
        "days",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.BigInteger(), nullable=True),
        sa.Column("following", sa.BigInteger(), nullable=True),
        sa.Column("format", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_days")),
    )
    op.create_table(
        "pages",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "part", name=op.f("pk_pages")),
    )
    op.execute(sa.text(MARK))
    op.drop_table("rollups")
    op.drop_table("rolled")
