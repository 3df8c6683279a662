"""The schema's version: what a database has, what this program needs, and the way from one to the other."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from settlement.errors import Refused, Unavailable

APPLICATION_ROLE = "settlement_app"
OLDEST_SERVER = 150000

# Any fixed number: all who migrate a database wait for each other on it.
MIGRATION_LOCK = 7_236_140_517
WAIT_FOR_OTHER_MIGRATION = "10min"
STATEMENT_TIMEOUT = "30min"
LOCK_TIMEOUT = "15s"


def head() -> str:
    """The version that this program needs."""
    version = ScriptDirectory.from_config(_configuration()).get_current_head()
    if version is None:
        raise RuntimeError("the package holds no migration")
    return version


def current(engine: Engine) -> str | None:
    """The version that the database has; None: it has no schema. An unreachable server is `Unavailable`."""
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer: {_first_line(error)}") from error


def upgrade(engine: Engine) -> bool:
    """Brings the database to `head()`; True if anything was done. All or nothing, and safe to run twice at once.

    `engine` connects as the owner of the database: a superuser, or the plain owner with CREATEROLE.
    """
    try:
        with engine.begin() as connection:
            return _upgrade(connection)
    except OperationalError as error:
        raise Unavailable(f"the schema was not upgraded, nothing changed: {_first_line(error)}") from error


def _upgrade(connection: Connection) -> bool:
    _check_server(connection)
    connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_OTHER_MIGRATION}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    installed = MigrationContext.configure(connection).get_current_revision()
    if installed == head():
        return False
    if installed is not None and not _is_known(installed):
        raise Refused(
            f"the database has schema version {installed}, which this program does not know",
            where="schema",
            mend="it was made by a newer program: install that one",
        )
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
    # Functions that run with the owner's rights keep this path: nobody can put an object of his own before ours.
    connection.execute(text("SET LOCAL search_path = public, pg_temp"))
    _ensure_role(connection)
    command.upgrade(_configuration(connection), "head")
    return True


def _check_server(connection: Connection) -> None:
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < OLDEST_SERVER:
        raise Refused(
            f"PostgreSQL {version // 10000} is too old", where="SETTLEMENT_DATABASE_URL", mend="use PostgreSQL 15 to 18"
        )


def _ensure_role(connection: Connection) -> None:
    """The application's role belongs to the server, not to the database: another database may have made it."""
    try:
        with connection.begin_nested():
            connection.execute(text(_CREATE_ROLE))
    except ProgrammingError as error:
        user = connection.execute(text("SELECT current_user")).scalar_one()
        raise Refused(
            f"user {user} may not create or use the role {APPLICATION_ROLE}: {_first_line(error)}",
            where="SETTLEMENT_DATABASE_URL",
            mend=f"let a superuser run: CREATE ROLE {APPLICATION_ROLE} NOLOGIN; GRANT {APPLICATION_ROLE} TO {user}",
        ) from error


# Whether the user may become the role is found by trying: PostgreSQL 16 changed what a membership includes.
_CREATE_ROLE = f"""
DO $$
BEGIN
    BEGIN
        CREATE ROLE {APPLICATION_ROLE} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN insufficient_privilege THEN
        IF to_regrole('{APPLICATION_ROLE}') IS NULL THEN
            RAISE;
        END IF;
    END;
    BEGIN
        SET LOCAL ROLE {APPLICATION_ROLE};
        RESET ROLE;
    EXCEPTION WHEN insufficient_privilege THEN
        GRANT {APPLICATION_ROLE} TO CURRENT_USER;
    END;
END $$
"""


def _is_known(version: str) -> bool:
    return any(script.revision == version for script in ScriptDirectory.from_config(_configuration()).walk_revisions())


def _configuration(connection: Connection | None = None) -> Config:
    configuration = Config()
    # Alembic reads the value as a ConfigParser does: a percent sign in the path would start a reference.
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0]
