"""Which reader a file of fills needs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block
from settlement.venues.files.csv import read_csv_fills
from settlement.venues.files.parquet import read_parquet_fills
from settlement.venues.okx.files import read_okx_fills

AUTO: Final = "auto"
FORMATS: Final = (AUTO, "csv", "parquet", "okx")

_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "okx",
    ".jsonl": "okx",
    ".ndjson": "okx",
}
_GZIP = ".gz"
_PARQUET_MARK = b"PAR1"
_SNIFFED_BYTES = 4096


@dataclass(frozen=True)
class FillFile:
    """A file of fills that can be read more than once.

    `account` says whose an OKX file's rows are where they do not say so themselves. `on_progress` is told, after each
    block, how many bytes of the file have been read.
    """

    path: Path
    file_format: str = AUTO
    account: str | None = None
    on_progress: Callable[[int], None] | None = None

    def __iter__(self) -> Iterator[Block]:
        """Reads the file from its beginning; raises InputRefused if it cannot be taken in as a whole."""
        try:
            with _opened(self.path) as stream:
                for block in self._read(stream):
                    if self.on_progress is not None:
                        self.on_progress(
                            getattr(stream, "fileobj", stream).tell()
                        )  # of the packed file, not its content
                    yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            mend = "compress it again: it is cut off or damaged"
            raise InputRefused(f"is not whole gzip: {error}", where=self.path.name, mend=mend) from None

    def _read(self, stream: BinaryIO) -> Iterator[Block]:
        file_format = self._format(stream)
        if file_format == "parquet":
            return read_parquet_fills(stream, file=self.path.name)
        if file_format == "csv":
            return read_csv_fills(stream, file=self.path.name)
        return read_okx_fills(stream, file=self.path.name, account=self.account)

    def _format(self, stream: BinaryIO) -> str:
        if self.file_format != AUTO:
            return self.file_format
        suffixes = [suffix.lower() for suffix in self.path.suffixes if suffix.lower() != _GZIP]
        known = _BY_SUFFIX.get(suffixes[-1]) if suffixes else None
        return known or _by_content(stream)


def _by_content(stream: BinaryIO) -> str:
    start = stream.read(_SNIFFED_BYTES)
    stream.seek(0)
    if start.startswith(_PARQUET_MARK):
        return "parquet"
    return "okx" if start.lstrip()[:1] in {b"{", b"["} else "csv"


def _opened(path: Path) -> BinaryIO:
    open_file: Callable[[Path], BinaryIO] = gzip.open if path.suffix.lower() == _GZIP else _plain  # type: ignore[assignment]  # both give bytes
    try:
        return open_file(path)
    except FileNotFoundError:
        raise InputRefused("there is no such file", where=str(path), mend="check the path") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputRefused(
            f"cannot be opened: {error.strerror}", where=str(path), mend="give a readable file"
        ) from None


def _plain(path: Path) -> BinaryIO:
    return path.open("rb")
