"""Binds a command's life to its starter's: `python -m settlement.embedded.bound STARTER_PID COMMAND...`.

A starter with several threads must not run Python between fork and exec; so this runs after exec, and execs again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def bound(command: Sequence[str]) -> list[str]:
    """`command`, killed by the kernel when the thread that starts it ends (on Linux; elsewhere as it is)."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-P", "-m", "settlement.embedded.bound", str(os.getpid()), *command]


def die_with_parent(death_signal: signal.Signals, *, parent: int, library: ctypes.CDLL | None = None) -> None:
    """Asks the kernel for `death_signal` when the parent dies; ends at once if it has died already."""
    if sys.platform == "linux":
        (library or ctypes.CDLL(None)).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL, parent=int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the starter's own command
