"""OKX's envelope, and the refusals that the sandbox gives: each code with its HTTP status and its words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

JSON: Final = b"application/json"

# code: (HTTP status, message)
REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "50000": (400, "Body for POST request cannot be empty."),
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50002": (400, "JSON syntax error."),
    "50004": (400, "API endpoint request timeout (does not mean that the request was successful or failed)."),
    "50005": (410, "API is offline or unavailable."),
    "50007": (200, "User blocked."),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {} can not be empty."),
    "50026": (500, "System error. Try again later."),
    "50030": (200, "You don't have permission to use this API endpoint."),
    "50038": (200, "This feature is unavailable in demo trading."),
    "50100": (400, "API frozen, please contact customer service."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired."),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50110": (401, "Your IP {} is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY."),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP."),
    "50113": (401, "Invalid Sign."),
    "50114": (401, "Invalid Authorization."),
    "50119": (200, "API key doesn't exist."),
    "50120": (200, "This API key doesn't have permission to use this function."),
    "51000": (400, "Parameter {} error."),
    "51001": (200, "Instrument ID doesn't exist."),
    "51603": (200, "Order does not exist."),
    "53000": (401, "Invalid token."),
    "53001": (401, "Authorization canceled."),
    "53002": (401, "Token expired."),
    "53003": (401, "Token revoked."),
    "53004": (401, "Token frozen."),
    "53005": (400, "Wrong refresh token."),
    "53009": (400, "Authorization error."),
    "58102": (429, "Rate limit reached. Please refer to API docs and throttle requests accordingly."),
    "58116": (200, "The transfer amount exceeds the available balance."),
    "58207": (200, "Withdrawal failed. The address {} is not on the list of verified addresses."),
    "58350": (200, "Insufficient balance."),
}


class Refusal(Exception):
    """What a request is refused with; `about` fills the message's gap, `status` replaces the usual HTTP status."""

    def __init__(self, code: str, about: str = "", *, status: int | None = None) -> None:
        usual, words = REFUSALS[code]
        self.code, self.status, self.message = code, status or usual, words.replace("{}", about)
        super().__init__(self.message)

    def body(self) -> bytes:
        """The envelope."""
        return orjson.dumps({"code": self.code, "data": [], "msg": self.message})


def envelope(data: Any) -> bytes:
    """`data` (a list) as an answer with code 0."""
    return orjson.dumps({"code": "0", "data": data, "msg": ""})


def page(rows: Iterable[bytes | memoryview]) -> bytes:
    """Rows that are JSON text already, as an answer with code 0."""
    return b'{"code":"0","data":[' + b",".join(rows) + b'],"msg":""}'
