"""SQL files of a migration, kept as SQL so that they read and diff as what they are."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def run_scripts(connection: Connection, revision: str) -> None:
    """Runs `versions/<revision>/*.sql` in the order of their names; the file is named if one fails."""
    for script in sorted((VERSIONS / revision).glob("*.sql")):
        try:
            # no_parameters: a percent sign in the file is a percent sign, and a file may hold many statements
            connection.exec_driver_sql(script.read_text("utf-8"), execution_options={"no_parameters": True})
        except Exception as error:
            error.add_note(f"in migration {revision}/{script.name}")
            raise
