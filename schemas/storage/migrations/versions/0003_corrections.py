"""Recalculations, client activity per run, corrected reviews, and statements."""

from __future__ import annotations

from alembic import op

from schemas.storage.scripts import run_scripts

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL files of this revision's folder in the order of their names."""
    run_scripts(op.get_bind(), revision)
