"""File locks that the kernel releases with the last process that holds them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """One `flock` on a file; forked children share it, programs that are started do not."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Waits for a shared hold."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def take(self) -> None:
        """Waits for the exclusive hold."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def try_take(self) -> bool:
        """The exclusive hold if it is free now."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Gives the hold up; the file stays open."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the hold up, in this process, and closes the file."""
        os.close(self.descriptor)


def is_held(path: Path) -> bool:
    """Whether any process holds the lock exclusively."""
    return not _is_free(path, fcntl.LOCK_SH)


def is_shared(path: Path) -> bool:
    """Whether any process holds the lock in common with others, and none exclusively."""
    return _is_free(path, fcntl.LOCK_SH) and not _is_free(path, fcntl.LOCK_EX)


def _is_free(path: Path, hold: int) -> bool:
    if not path.exists():
        return True
    lock = FileLock(path)
    try:
        fcntl.flock(lock.descriptor, hold | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        lock.close()
    return True
