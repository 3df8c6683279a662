"""What a request is and what it is answered with, apart from the web server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from settlement.venues.okx.sandbox.codes import JSON, Refusal, envelope

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.accounts import Account


@dataclass(kw_only=True)
class Call:
    """One request. `path` and `query_string` are the very characters that were sent."""

    method: str
    path: str
    query_string: str
    headers: Mapping[bytes, bytes]
    body: bytes
    ip: str
    fault: str = ""
    account: Account | None = None
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Reads the query."""
        self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def target(self) -> str:
        """What is signed: the path with its query string."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path

    @property
    def caller(self) -> Account:
        """Who signed; only asked where a signature is needed."""
        if self.account is None:
            raise Refusal("50114")
        return self.account

    def header(self, name: bytes) -> str:
        """A header's value, "" if it is missing."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    def need(self, name: str) -> str:
        """A parameter that must be given."""
        if not (value := self.query.get(name, "")):
            raise Refusal("50014", name)
        return value

    def whole(self, name: str) -> int | None:
        """A parameter that is a whole number, or None if it is not given."""
        if not (value := self.query.get(name, "")):
            return None
        if not value.isascii() or not value.isdigit():
            raise Refusal("51000", name)
        return int(value)

    def document(self) -> dict[str, Any]:
        """The body of a POST, an object."""
        if not self.body:
            raise Refusal("50000")
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Refusal("50002") from None
        if not isinstance(document, dict):
            raise Refusal("50002")
        return document


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON


def ok(data: Any) -> Answer:
    """`data` under code 0."""
    return Answer(body=envelope(data))
