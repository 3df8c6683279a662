"""The first schema: facts, fills, settlement, ledger and what the application's role may do."""

from __future__ import annotations

from alembic import op

from schemas.storage.scripts import run_scripts

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL files of this revision's folder in the order of their names."""
    run_scripts(op.get_bind(), revision)
