"""Faults: by rate, drawn from a seeded stream, and by script, at the n-th request of an endpoint.

429 50011 50011_int 50013 50001 50026 502_html          refused, nothing done
50004 50004_applied 50004_lost                          outcome unknown; a POST may have taken effect
cut_before cut_inside truncated slow duplicate_rows     the answer is broken, slow or says things twice
skew expired_token                                      the clock or the token is off, once
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from settlement.venues.okx.sandbox.call import Answer
from settlement.venues.okx.sandbox.codes import Refusal

READ_KINDS: Final = (
    "429", "50011", "50011_int", "50013", "50001", "50026", "502_html", "50004", "cut_before", "cut_inside", "slow",
    "truncated",
)  # fmt: skip
HARMLESS_KINDS: Final = ("429", "50011", "50011_int", "50013", "50001", "50026", "502_html", "slow")
PAGE_KINDS: Final = ("duplicate_rows",)
SIGNED_KINDS: Final = ("skew",)
TOKEN_KINDS: Final = ("expired_token",)
POST_KINDS: Final = ("50004_applied", "50004_lost")
KINDS: Final = frozenset({*READ_KINDS, *PAGE_KINDS, *SIGNED_KINDS, *TOKEN_KINDS, *POST_KINDS})
# Refused before anything is done.
_REFUSED: Final = {
    "429": ("50011", 429), "50011": ("50011", 200), "50013": ("50013", 429), "50001": ("50001", 503),
    "50026": ("50026", 500), "50004": ("50004", 400), "50004_lost": ("50004", 400), "skew": ("50102", 401),
}  # fmt: skip
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
SLOW_SECONDS: Final = 0.3


@dataclass(kw_only=True)
class Planned:
    """One line of a script: the fault hits the `nth` request of `path` from now on, and the next times - 1."""

    path: str
    nth: int
    fault: str
    account: str = ""
    times: int = 1
    seconds: float = SLOW_SECONDS
    seen: int = 0

    def hits(self, path: str, account: str) -> bool:
        """Counts one request; true if this is the one."""
        if path != self.path or self.account not in {"", account}:
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass(kw_only=True)
class Faults:
    """What goes wrong, and how often it has."""

    rate: float = 0.0
    seed: int = 1
    script: list[Planned] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    _stream: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Starts the stream."""
        self.restart(self.seed)

    def restart(self, seed: int) -> None:
        """Draws from another stream, or from the same one anew."""
        self.seed = seed
        self._stream = random.Random(self.seed)  # noqa: S311 - faults have to come again, not to be secret

    def draw(self, *, method: str, path: str, account: str, kinds: Callable[[], Iterable[str]]) -> tuple[str, float]:
        """The fault of this request ("" for none) and how long a slow body takes."""
        hit = [planned for planned in self.script if planned.hits(path, account)]
        if hit:
            fault = {"cut": "cut_before"}.get(hit[0].fault, hit[0].fault)
            if fault == "50004" and method == "POST":
                fault = "50004_lost"
            self.done[fault] += 1
            return fault, hit[0].seconds
        if self.rate and self._stream.random() < self.rate:
            fault = self._stream.choice(tuple(kinds()))
            self.done[fault] += 1
            return fault, SLOW_SECONDS
        return "", 0


def planned_faults(lines: Iterable[Mapping[str, Any]]) -> list[Planned]:
    """The lines of a script; ValueError says what is wrong with which."""
    planned = []
    for number, line in enumerate(lines, 1):
        try:
            each = Planned(**{"nth": 1, **line})
        except TypeError as error:
            raise ValueError(f"line {number}: {error}".replace("Planned.__init__() ", "")) from None
        if each.fault not in KINDS | {"cut"}:
            raise ValueError(f"line {number}: {each.fault} is no fault; there are {', '.join(sorted(KINDS))}")
        planned.append(each)
    return planned


def refuse(fault: str) -> Answer | None:
    """The answer of a fault that keeps the request from being done; None if it is done all the same."""
    if fault == "50011_int":
        return Answer(body=b'{"msg":"Requests too frequent.","code":50011}', status=429)
    if fault == "502_html":
        return Answer(body=_HTML, status=502, content_type=b"text/html")
    if fault in _REFUSED:
        code, status = _REFUSED[fault]
        body = {"code": code, "msg": Refusal(code).message} if fault == "429" else None
        return Answer(body=orjson.dumps(body) if body else Refusal(code).body(), status=status)
    return None
