"""Where a server's sockets are: `sockets` in its directory, a link to a short path where that one is too long."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from settlement.embedded.layout import Place

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES_MAX = 100


def make_socket_directory(place: Place, *, longest_name: str) -> Path:
    """An empty directory that only this user and root may enter; the same home always has the same path."""
    remove_socket_directory(place)
    if len(bytes(place.sockets / longest_name)) <= SOCKET_PATH_BYTES_MAX:
        place.sockets.mkdir(mode=0o700)
        return place.sockets
    directory = _short_directory(place)
    directory.mkdir(mode=0o700)
    place.sockets.symlink_to(directory)
    return directory


def remove_socket_directory(place: Place) -> None:
    """Removes the directory of this or an earlier life, and the link to it."""
    shutil.rmtree(_short_directory(place), ignore_errors=True)
    if place.sockets.is_symlink():
        place.sockets.unlink()
    shutil.rmtree(place.sockets, ignore_errors=True)


def _short_directory(place: Place) -> Path:
    name = hashlib.sha256(bytes(place.directory)).hexdigest()[:16]
    return Path("/tmp") / f"settlement-{os.geteuid()}-{name}"  # noqa: S108 - mkdir refuses one that is there already
