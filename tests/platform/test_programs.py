"""PostgreSQL's programs are reachable for the user that runs them, wherever the product is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from settlement.embedded import programs
from settlement.embedded.children import installed, is_open_to_others

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


@pytest.fixture
def closed_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package below a directory that only root may pass."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    source = installed(programs.PACKAGE)
    for directory in (source, source.with_name(f"{programs.PACKAGE}.libs")):
        shutil.copytree(directory, closed / directory.name, symlinks=True)
    monkeypatch.setattr(programs, "installed", lambda package: closed / package)
    monkeypatch.setattr(programs, "OPEN_DIRECTORIES", (_open_directory(tmp_path),))
    yield closed
    shutil.rmtree(_open_directory(tmp_path))


def _open_directory(tmp_path: Path) -> Path:
    directory = Path(os.sep, "tmp") / f"settlement-test-{os.getpid()}-{tmp_path.name}"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    return directory


@root_only
def test_below_a_closed_directory_another_user_runs_a_copy(closed_installation: Path) -> None:
    found = programs.programs()
    assert closed_installation not in found.parents
    assert is_open_to_others(found / "initdb")
    nobody = pwd.getpwnam("nobody")
    told = subprocess.run(
        [found / "initdb", "--version"], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], check=True,
        capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert told.stdout.startswith(f"initdb (PostgreSQL) {programs.MAJOR_VERSION}.")
    assert programs.programs() == found


def test_where_the_installation_can_be_reached_it_is_run_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "is_open_to_others", lambda _: True)
    assert installed(programs.PACKAGE) in programs.programs().parents
