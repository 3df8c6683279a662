"""A sandbox that runs as a process of its own, for a program that rehearses on it: its ready line, its control API, its rows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
import pyarrow as pa
from pyarrow import json

from settlement.errors import Unavailable
from settlement.venues.okx.signing import milliseconds

STOP_SECONDS = 20
# What two sides can be compared by: who, which fill, and everything that money hangs on.
COMPARED = ("account", "billId", "instId", "side", "fillPx", "fillSz", "fee", "feeCcy", "fillTime", "ts")
_SCHEMA = pa.schema([(name, pa.string()) for name in COMPARED])


@dataclass(frozen=True, kw_only=True)
class RemoteSandbox:
    """One that answers; `line` is what it said when it was ready."""

    line: Mapping[str, Any]

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return str(self.line["base_url"])

    def stats(self) -> dict[str, Any]:
        """Requests by endpoint, those over a limit, faults by kind."""
        return dict(self._get("stats").json())

    def set_fault_rate(self, rate: float) -> None:
        """Makes that share of the requests go wrong."""
        httpx.post(f"{self.base_url}/sandbox/faults", json={"rate": rate}).raise_for_status()

    def rows(self, *, start: datetime, end: datetime) -> pa.Table:
        """Every row recorded in [start, end), whether a reading has shown it or not: columns COMPARED, as text."""
        begin_ms, end_ms = milliseconds(start), milliseconds(end)
        content = self._get(f"fills?begin={begin_ms}&end={end_ms}").content
        options = json.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")
        read = json.ReadOptions(block_size=16 * 1024 * 1024)
        return json.read_json(pa.BufferReader(content), read_options=read, parse_options=options)

    def _get(self, path: str) -> httpx.Response:
        response = httpx.get(f"{self.base_url}/sandbox/{path}", timeout=300)
        response.raise_for_status()
        return response


@contextmanager
def started(command: Sequence[str]) -> Iterator[RemoteSandbox]:
    """Runs `settlement sandbox` (its whole command line) until the block ends; raises Unavailable if it does not start."""
    process = subprocess.Popen(  # noqa: S603 - the product's own command
        list(command), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise Unavailable(f"the sandbox ended with code {process.wait(STOP_SECONDS)} before it was ready")
        yield RemoteSandbox(line=orjson.loads(line))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
