import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, make_url, text

from schemas.storage import migrate
from settlement import embedded
from settlement.errors import Refused, Unavailable
from settlement.runtime import open_database
from settlement.store.database import Database, sqlalchemy_url


@pytest.fixture
def plain_owner_url(template: str, empty_database_url: str) -> Iterator[str]:
    """The URL of a database whose owner is no superuser, on a server that has the application's role already."""
    assert template
    owner = f"owner_of_{make_url(empty_database_url).database}"
    with psycopg.connect(libpq(empty_database_url), autocommit=True) as superuser:
        make_plain_owner(superuser, owner)
        yield with_user(empty_database_url, owner)
        name = sql.Identifier(owner)
        superuser.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
        superuser.execute(sql.SQL("DROP OWNED BY {}").format(name))
        superuser.execute(sql.SQL("DROP ROLE {}").format(name))


def make_plain_owner(superuser: psycopg.Connection, owner: str) -> None:
    """The superuser's database now belongs to the new `owner`, whose only right is to create roles."""
    superuser.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(owner)))
    database = sql.Identifier(superuser.info.dbname)
    superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(owner)))


def with_user(url: str, user: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)


def libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def run_init(url: str) -> subprocess.CompletedProcess[str]:
    program = "from settlement.cli.main import main; main()"
    command = [sys.executable, "-c", program, "init", "--json"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"SETTLEMENT_DATABASE_URL": url, "PATH": "/usr/bin"}
    )


def test_a_fresh_database_is_at_the_head_and_belongs_to_the_application(database: Database) -> None:
    assert migrate.current(database.engine) == migrate.head()
    with database.transaction() as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == migrate.APPLICATION_ROLE
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"


def test_upgrading_an_empty_database_creates_the_schema_and_again_changes_nothing(empty_database_url: str) -> None:
    engine = Database(empty_database_url).owner_engine()
    assert migrate.current(engine) is None
    assert migrate.upgrade(engine) is True
    assert migrate.upgrade(engine) is False
    assert migrate.current(engine) == migrate.head()


def test_a_plain_owner_with_createrole_can_create_the_schema_on_a_fresh_server(tmp_path: Path) -> None:
    url = embedded.join_postgres(tmp_path / "home")
    with psycopg.connect(url, autocommit=True) as superuser:
        make_plain_owner(superuser, "plain")
    database = Database(with_user(url, "plain"))
    assert migrate.upgrade(database.owner_engine()) is True
    with database.transaction() as connection:
        made = connection.execute(text("SELECT ensure_partitions('fill', '2026-09-14', '2026-09-15')")).scalar_one()
    database.dispose()
    embedded.leave(tmp_path / "home")
    assert made == 2


def test_an_owner_who_may_not_use_the_role_is_told_what_a_superuser_has_to_run(
    plain_owner_url: str, empty_database_url: str
) -> None:
    database = Database(plain_owner_url)
    owner = str(make_url(plain_owner_url).username)
    with psycopg.connect(libpq(empty_database_url), autocommit=True) as superuser:
        superuser.execute(sql.SQL("ALTER ROLE {} NOCREATEROLE").format(sql.Identifier(owner)))
        with pytest.raises(Refused, match="GRANT settlement_app TO") as refused:
            migrate.upgrade(database.owner_engine())
        assert migrate.current(database.owner_engine()) is None
        grant = refused.value.mend.rpartition("; ")[2]
        superuser.execute(grant.encode())
    assert migrate.upgrade(database.owner_engine()) is True


def test_two_inits_at_the_same_moment_both_succeed_and_one_does_the_work(empty_database_url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run_init, [empty_database_url, empty_database_url]))
    assert [(result.returncode, result.stderr) for result in results] == [(0, ""), (0, "")]
    assert {json.loads(result.stdout)["now"] for result in results} == {migrate.head()}


def test_data_survives_an_upgrade(database_url: str, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('prices', 'a.csv', 'me')")
    superuser.execute("INSERT INTO price (currency, ts, price_usdt, load_id) VALUES ('BTC', now(), 1.5, 1)")
    assert migrate.upgrade(Database(database_url).owner_engine()) is False
    assert superuser.execute("SELECT price_usdt::text FROM price").fetchone() == ("1.5",)


def test_a_failing_script_leaves_nothing_behind_and_is_named(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    versions = tmp_path_factory.mktemp("versions")
    (versions / "0001").mkdir()
    (versions / "0001" / "01_good.sql").write_text("CREATE TABLE good (a int);")
    (versions / "0001" / "02_bad.sql").write_text("SELECT 100 % 7; CREATE TABLE bad (a nonsense);")
    monkeypatch.setattr("schemas.storage.scripts.VERSIONS", versions)
    engine = Database(empty_database_url).owner_engine()
    with pytest.raises(Exception, match="nonsense") as caught:
        migrate.upgrade(engine)
    assert caught.value.__notes__ == ["in migration 0001/02_bad.sql"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('good')")).scalar_one() is None


def test_the_schema_of_a_newer_program_is_refused(database_url: str, superuser: psycopg.Connection) -> None:
    superuser.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused, match=r"9999.*newer program"):
        migrate.upgrade(Database(database_url).owner_engine())


def test_an_external_database_without_the_schema_is_refused_with_the_mend(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", empty_database_url)
    with pytest.raises(Refused, match="has no schema; run: settlement init"), open_database():
        pass


def test_an_external_database_with_an_older_schema_is_refused_with_both_versions(
    database_url: str, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser.execute("UPDATE alembic_version SET version_num = '0000'")
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    with pytest.raises(Refused, match=f"version 0000, this program needs {migrate.head()}"), open_database():
        pass


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    engine = create_engine(sqlalchemy_url("postgresql://postgres@127.0.0.1:9/postgres"))
    with pytest.raises(Unavailable, match="does not answer"):
        migrate.current(engine)


def test_definer_functions_look_nowhere_but_in_public(superuser: psycopg.Connection) -> None:
    rows = superuser.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert rows
    assert {tuple(configuration or ()) for _, configuration in rows} == {("search_path=public, pg_temp",)}
