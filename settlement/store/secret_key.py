"""The keys that open stored credentials: where they come from, and that nobody else can read them.

1. Of the variable, if it is set; else of the file that is named; else of the default file, which is made at first use.
2. One key or several, separated by commas or lines, the newest first: the first seals, all of them open (rotation).
3. A key file is a regular file that its group and others have no access to.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

from settlement.errors import Refused

VARIABLE = "SETTLEMENT_SECRET_KEY"
DEFAULT_NAME = "secret.key"
FILE_BYTES_MAX = 10_000
MEND_MALFORMED = "a key is 32 bytes in URL-safe base64, such as: settlement accounts new-key prints"


@dataclass(frozen=True, kw_only=True)
class KeyPlace:
    """Where the keys come from: their text as the variable holds it (None: not set), else a file."""

    text: str | None = field(repr=False)
    file: Path
    is_default: bool

    def describe(self) -> str:
        """The variable or the file, for people."""
        return VARIABLE if self.text is not None else str(self.file)

    def exists(self) -> bool:
        """Whether there is a key, or a file that claims to hold one."""
        return self.text is not None or os.path.lexists(self.file)


def key_place(*, text: str | None, file: Path | None, home: Path) -> KeyPlace:
    """The place that the settings name."""
    return KeyPlace(text=text, file=file or home / DEFAULT_NAME, is_default=file is None)


def read_keys(place: KeyPlace) -> list[Fernet]:
    """The keys, the newest first; makes the default file if it is missing, refuses everything that is not safe."""
    if place.text is not None:
        return _parse(place.text, where=VARIABLE)
    if place.is_default and not place.exists():
        _make(place.file)
    return _parse(_read(place.file), where=str(place.file))


def new_key() -> str:
    """A fresh key as text."""
    return Fernet.generate_key().decode()


def _parse(text: str, *, where: str) -> list[Fernet]:
    written = [part for line in text.splitlines() for part in line.replace(" ", "").split(",") if part]
    if not written:
        raise Refused("holds no key", where=where, mend=MEND_MALFORMED)
    keys = []
    for number, part in enumerate(written, 1):
        try:
            keys.append(Fernet(part))
        except ValueError:
            raise Refused(f"key {number} is malformed", where=where, mend=MEND_MALFORMED) from None
    return keys


def _read(file: Path) -> str:
    try:
        # Without blocking: a named pipe would wait for its writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        mend = f"put the key there, or set {VARIABLE}"
        raise Refused("the secret key file is missing", where=str(file), mend=mend) from None
    except OSError as error:
        mend = "let this user own and read it"
        raise Refused(f"the secret key file cannot be read: {error.strerror}", where=str(file), mend=mend) from None
    try:
        _refuse_unsafe(os.fstat(descriptor), file)
        return os.read(descriptor, FILE_BYTES_MAX).decode("ascii", errors="replace")
    finally:
        os.close(descriptor)


def _refuse_unsafe(found: os.stat_result, file: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("the secret key is not in a regular file", where=str(file), mend="name the file itself")
    if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise Refused(f"others may access the secret key (mode {mode})", where=str(file), mend=f"run: chmod 600 {file}")


def _make(file: Path) -> None:
    """Makes the file with a fresh key. It appears with its content, and of several processes the first one wins."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # O_EXCL, mode 0600
        try:
            with os.fdopen(descriptor, "w") as opened:
                opened.write(new_key() + "\n")
                opened.flush()
                os.fsync(descriptor)
            with suppress(FileExistsError):
                os.link(draft, file)
        finally:
            os.unlink(draft)  # noqa: PTH108 - mkstemp gives text
        _sync_directory(file.parent)
    except OSError as error:
        raise Refused(
            f"the secret key file cannot be made: {error.strerror}",
            where=str(file),
            mend=f"make the directory writable, or set {VARIABLE}",
        ) from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
