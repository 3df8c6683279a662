"""Accounts at venues, how far their fills were harvested, the raw pages, and what a venue says of orders and accounts."""

from __future__ import annotations

from alembic import op

from schemas.storage.scripts import run_scripts

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL files of this revision's folder in the order of their names."""
    run_scripts(op.get_bind(), revision)
