"""The program in daily work: the registry by hand, with its audit log, and referral codes."""

from __future__ import annotations

from alembic import op

from schemas.storage.scripts import run_scripts

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL files of this revision's folder in the order of their names."""
    run_scripts(op.get_bind(), revision)
