"""The embedded servers' life: started with the first user, stopped with the last, whoever is killed."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis

from settlement import embedded
from settlement.errors import Refused

WAIT_SECONDS = 60

USER = """
import sys, time
from pathlib import Path
from settlement import embedded
print(embedded.join_postgres(Path(sys.argv[1])), flush=True)
print(embedded.join_redis(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with a killed parent")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of its own; the test fails if anything still runs in it afterwards."""
    path = tmp_path / "home"
    yield path
    embedded.leave(path)
    wait_until(lambda: not processes_of(path))


class User:
    """Another process that uses the home until it is told to end."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def urls(self) -> list[str]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline().strip() for _ in range(2)]

    def end(self) -> None:
        self.process.communicate("", timeout=WAIT_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.end()


def processes_of(home: Path) -> list[psutil.Process]:
    """Keepers and servers of the home: by their command line, or by where they work."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = any(str(home) in word for word in process.cmdline()) or process.cwd().startswith(str(home))
            if is_ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)


def ready(home: Path, server: str) -> dict[str, int]:
    facts: dict[str, int] = json.loads((home / server / "ready.json").read_text())
    return facts


def answers(postgres_url: str, redis_url: str) -> bool:
    with psycopg.connect(postgres_url) as connection, Redis.from_url(redis_url) as client:
        return connection.execute("SELECT 1").fetchone() == (1,) and bool(client.ping())


def test_the_servers_run_on_sockets_only_and_as_the_settings_say(home: Path) -> None:
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        settings = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
        encoding = connection.execute("SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database").fetchall()
    with Redis.from_url(embedded.join_redis(home)) as client:
        policy = {name: client.config_get(name)[name] for name in ("maxmemory-policy", "save", "port")}
    assert set(encoding) == {("UTF8", "C")}
    assert settings["listen_addresses"] == ""
    assert (settings["fsync"], settings["jit"], settings["max_connections"]) == ("on", "off", "60")
    assert policy == {"maxmemory-policy": "noeviction", "save": "", "port": "0"}


def test_two_processes_that_start_at_the_same_moment_share_one_server(home: Path) -> None:
    first, second = User(home), User(home)
    urls = first.urls()
    assert urls == second.urls()
    keepers = [process for process in processes_of(home) if "settlement.embedded.keeper" in process.cmdline()]
    assert len(keepers) == 2  # one for each server
    first.end()
    time.sleep(2)
    assert answers(*urls)
    second.end()
    wait_until(lambda: not processes_of(home))


def test_data_is_there_again_for_the_next_user(home: Path) -> None:
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    embedded.leave(home)
    wait_until(lambda: not processes_of(home))
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        assert connection.execute("SELECT seven FROM kept").fetchone() == (7,)


def test_a_killed_user_leaves_nothing_running(home: Path) -> None:
    user = User(home)
    user.urls()
    assert len(processes_of(home)) > 2
    user.kill()
    wait_until(lambda: not processes_of(home))
    log = (home / "postgres" / "server.log").read_text()
    assert "database system is shut down" in log


def test_a_killed_keeper_takes_its_server_with_it_and_the_next_user_heals(home: Path) -> None:
    user = User(home)
    urls = user.urls()
    for server in ("postgres", "redis"):
        os.kill(ready(home, server)["keeper"], signal.SIGKILL)
    wait_until(lambda: processes_of(home) == [psutil.Process(user.process.pid)])
    assert embedded.join_postgres(home) == urls[0]
    assert embedded.join_redis(home) == urls[1]
    assert answers(*urls)
    user.end()


def test_everything_killed_at_once_is_healed_by_the_next_user(home: Path) -> None:
    user = User(home)
    with psycopg.connect(user.urls()[0]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    user.kill()
    # A process that is killed may answer once more before it ends.
    wait_until(lambda: not processes_of(home))
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        assert connection.execute("SELECT seven FROM kept").fetchone() == (7,)
    assert answers(embedded.join_postgres(home), embedded.join_redis(home))


def test_a_killed_server_is_started_again_by_its_keeper(home: Path) -> None:
    urls = embedded.join_postgres(home), embedded.join_redis(home)
    before = {server: ready(home, server)["server"] for server in ("postgres", "redis")}
    for number in before.values():
        os.kill(number, signal.SIGKILL)

    def are_new() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return all(ready(home, server)["server"] != number for server, number in before.items())
        return False

    wait_until(are_new)
    assert answers(*urls)


def test_a_lock_file_whose_number_belongs_to_another_process_now_is_no_obstacle(home: Path) -> None:
    embedded.join_postgres(home)
    embedded.leave(home)
    lock_file = home / "postgres" / "data" / "postmaster.pid"
    lock_file.write_text(f"{os.getpid()}\n{lock_file.parent}\n1\n5432\n\n\n0 0\nready   \n")
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30) / "home"
    urls = embedded.join_postgres(home), embedded.join_redis(home)
    assert answers(*urls)
    socket_directory = (home / "redis" / "sockets").readlink()
    embedded.leave(home)
    assert not socket_directory.exists()
    wait_until(lambda: not processes_of(home))


def test_a_home_that_cannot_be_written_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="set SETTLEMENT_HOME to a directory"):
        embedded.join_redis(tmp_path / "file" / "home")


def test_a_cluster_of_another_version_is_named(home: Path) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(Exception, match="was made by PostgreSQL 14, this is 18"):
        embedded.join_postgres(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be refused by PostgreSQL")
def test_root_runs_it_as_another_user_below_a_directory_that_is_closed_to_others() -> None:
    closed = Path(tempfile.mkdtemp(prefix="closed-"))
    assert closed.stat().st_mode & 0o077 == 0
    home = closed / "home"
    with psycopg.connect(embedded.join_postgres(home)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    server = psutil.Process(ready(home, "postgres")["server"])
    assert server.uids().effective != 0
    embedded.leave(home)
    shutil.rmtree(closed)
    wait_until(lambda: not processes_of(home))
