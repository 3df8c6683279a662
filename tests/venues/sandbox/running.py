"""The sandbox as a process of its own, and signed requests to it, for tests."""

from __future__ import annotations

import base64
import hmac
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

COMMAND = "from settlement.cli.main import main; main()"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What the ready line said, and the process."""

    line: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def base_url(self) -> str:
        return str(self.line["base_url"])

    @property
    def accounts(self) -> list[dict[str, Any]]:
        return list(self.line["accounts"])

    @property
    def broker(self) -> dict[str, Any]:
        return dict(self.line["broker"])

    def control(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """Asks the control API; a document makes it a POST."""
        url = f"{self.base_url}/sandbox/{path}"
        response = httpx.get(url) if document is None else httpx.post(url, json=dict(document))
        response.raise_for_status()
        return response.json()

    def stats(self) -> dict[str, Any]:
        return dict(self.control("stats"))

    def fills(self, **asked: str) -> list[dict[str, Any]]:
        """Rows that exist, each with its account."""
        text = httpx.get(f"{self.base_url}/sandbox/fills", params=asked, timeout=60).text
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def running(*arguments: str) -> Iterator[Sandbox]:
    """`settlement sandbox` with these arguments, on a free port unless one is given."""
    port = () if "--port" in arguments else ("--port", "0")
    command = [sys.executable, "-c", COMMAND, "sandbox", *arguments, *port]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, complaint = process.communicate(timeout=10)
            raise AssertionError(f"the sandbox did not start: {complaint}")
        yield Sandbox(line=json.loads(line), process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def headers_of(  # noqa: PLR0913 - the parts of a signature
    account: Mapping[str, Any], method: str, target: str, body: str = "", *, at: str = "", secret: str = ""
) -> dict[str, str]:
    """OKX's headers; `at` and `secret` replace the right ones."""
    stamp = at or timestamp()
    text = f"{stamp}{method}{target}{body}".encode()
    sign = base64.b64encode(hmac.digest((secret or account["secret"]).encode(), text, "sha256")).decode()
    return {
        "OK-ACCESS-KEY": account["api_key"],
        "OK-ACCESS-SIGN": sign,
        "OK-ACCESS-TIMESTAMP": stamp,
        "OK-ACCESS-PASSPHRASE": account["passphrase"],
        "Content-Type": "application/json",
    }


def timestamp(offset_seconds: float = 0) -> str:
    """Now as OKX writes it."""
    instant = datetime.now(UTC) + timedelta(seconds=offset_seconds)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03}Z"


def get(account: Mapping[str, Any], path: str, **query: object) -> httpx.Response:
    """A signed GET of /api/v5/`path`."""
    target = f"/api/v5/{path}" + (f"?{urlencode(query)}" if query else "")
    return httpx.get(account["base_url"] + target, headers=headers_of(account, "GET", target), timeout=60)


def post(account: Mapping[str, Any], path: str, **document: object) -> httpx.Response:
    """A signed POST of /api/v5/`path`."""
    target, body = f"/api/v5/{path}", json.dumps(document)
    headers = headers_of(account, "POST", target, body)
    return httpx.post(account["base_url"] + target, headers=headers, content=body, timeout=60)


def walk(account: Mapping[str, Any], path: str, **query: object) -> list[dict[str, Any]]:
    """All rows, newest first, page by page with `after`, as fast as the limits let it."""
    rows: list[dict[str, Any]] = []
    while True:
        cursor = {"after": rows[-1]["billId"]} if rows else {}
        page = get(account, path, **query, **cursor).json()
        if page["code"] == "50011":
            time.sleep(0.1)
            continue
        assert page["code"] == "0", page
        rows += page["data"]
        if len(page["data"]) < 100:
            return rows
