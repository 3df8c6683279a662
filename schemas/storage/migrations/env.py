"""Alembic's entry: runs the migrations in the transaction that `schemas.storage.migrate` hands over."""

from __future__ import annotations

from alembic import context


def _run() -> None:
    context.configure(connection=context.config.attributes["connection"], target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


_run()
