"""Alembic's entry: runs the migrations on the connection that `plugin.store.migrate` hands over."""

from alembic import context

from plugin.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
