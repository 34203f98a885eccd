"""Alembic's door: migrations run on the connection, and in the transaction, that upgrade.py hands in."""

from alembic import context

from pipemon.store import (  # noqa: F401 -- known to the metadata
    schema_actions,
    schema_deployments,
    schema_failures,
    schema_notifications,
    schema_rollups,
)
from pipemon.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
