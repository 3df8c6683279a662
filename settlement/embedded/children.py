"""Server processes: they die with the one that started them, and run as a user that their program accepts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from settlement.embedded.bound import die_with_parent

CLONE_NEWUSER = 0x10000000
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class ServerUser:
    """The unprivileged user a server runs as when root starts it; `passes_directories`: see `unprivileged_user`."""

    name: str
    uid: int
    gid: int
    passes_directories: bool


def installed(package: str) -> Path:
    """The directory of an installed package, found without importing it: these run code of their own, and may warn."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise RuntimeError(f"the package {package} is not installed")
    return Path(found.origin).parent


def unprivileged_user(paths: Iterable[Path]) -> ServerUser | None:
    """Whom to become for a program that refuses root; None if this process is not root.

    Where a directory above one of `paths` is closed to others (/root is), the server keeps one right of root's, to pass
    closed directories. Nobody else can reach the server's files there, so the right cannot be borrowed.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return ServerUser(name, account.pw_uid, account.pw_gid, not all(map(is_open_to_others, paths)))
    raise RuntimeError("this system has neither a user postgres nor a user nobody")


def user_has_name() -> bool:
    """Whether the system knows a name for this user; in a container it may be a bare number."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def before_exec(
    *, death_signal: signal.Signals, user: ServerUser | None = None, needs_name: bool = False
) -> Callable[[], None]:
    """What a child does between fork and exec: become `user`, and ask to be sent `death_signal` when we die.

    A program that `needs_name` sees itself as `nobody` where this user has no name; its files are this user's anyway.
    Only Linux tells a child of its parent's death; elsewhere the next user of the home stops what was left running.
    """
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True)
    borrow_name = needs_name and not user_has_name()

    def prepare() -> None:
        if user is not None:
            _become(user, library)
        elif borrow_name:
            _appear_as_nobody(library)
        # After the change of user, which clears the wish.
        die_with_parent(death_signal, parent=parent, library=library)

    return prepare


def stop_child(child: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Sends each signal in turn and gives the child that many seconds to end; then kills it."""
    for number, seconds in signals:
        if child.poll() is not None:
            return
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    if child.poll() is None:
        child.kill()
        child.wait()


def find_leftover(pid: int, *, program: str, directory: Path) -> psutil.Process | None:
    """The process if it is that program, working in that directory: a number alone may belong to another by now."""
    try:
        process = psutil.Process(pid)
        if process.name() == program and Path(process.cwd()) == directory.resolve():
            return process
    except psutil.Error:
        pass
    return None


def stop_leftover(process: psutil.Process, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """As `stop_child`, for a server that an earlier keeper left behind."""
    for number, seconds in [*signals, (signal.SIGKILL, 10.0)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(seconds)
            return


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _become(user: ServerUser, library: ctypes.CDLL) -> None:
    """Where the system does not know or grant the one kept right, the server simply runs without it."""
    keep = user.passes_directories and sys.platform == "linux"
    if keep:
        library.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if keep:
        right = 1 << CAP_DAC_OVERRIDE
        header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
        sets = (_CapabilitySet * 2)(_CapabilitySet(right, right, right), _CapabilitySet(0, 0, 0))
        library.capset(ctypes.byref(header), sets)
        library.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def _appear_as_nobody(library: ctypes.CDLL) -> None:
    """A user namespace in which this user's number is that of `nobody`; without one the program itself complains."""
    uid, gid, nobody = os.geteuid(), os.getegid(), pwd.getpwnam("nobody")
    if sys.platform != "linux" or library.unshare(CLONE_NEWUSER) != 0:
        return
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} {uid} 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} {gid} 1")


def is_open_to_others(path: Path) -> bool:
    """Whether every directory above `path` may be passed by everybody."""
    return all(directory.stat().st_mode & stat.S_IXOTH for directory in path.resolve().parents)
