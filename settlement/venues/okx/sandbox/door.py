"""Where requests come in: one ASGI application an endpoint, which counts, limits, spoils, checks, answers.

A deliberate cut ends the connection itself: with no answer at all, or inside a body that is longer than what is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from settlement.venues.okx.sandbox import faults
from settlement.venues.okx.sandbox.call import Answer, Call
from settlement.venues.okx.sandbox.checks import check
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.handler import Endpoint

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.exchange import Exchange

TRANSPORT: Final = "sandbox.transport"
TOKEN_PATH: Final = "/v5/users/oauth/token"  # noqa: S105 - a path, not a token
PAGES: Final = frozenset({"/api/v5/trade/fills", "/api/v5/trade/fills-history"})
BODY_BYTES_MAX: Final = 1024 * 1024
PIECES: Final = 6


class CuttableProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with the connection within the application's reach."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[typeddict-unknown-key]  # a key of our own


class Door:
    """The ASGI application of one endpoint."""

    def __init__(self, exchange: Exchange, endpoint: Endpoint) -> None:
        self.exchange, self.endpoint = exchange, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        call = await _read(scope, receive)
        self.exchange.requests[self.endpoint.name] += 1
        try:
            answer, seconds = await self._answer(call)
        except Refusal as refusal:
            answer, seconds = Answer(body=refusal.body(), status=refusal.status), 0.0
        await _deliver(answer, call.fault, seconds=seconds, scope=scope, receive=receive, send=send)

    async def _answer(self, call: Call) -> tuple[Answer, float]:
        endpoint = self.endpoint
        if endpoint.needs:
            call.account = check(self.exchange, call, endpoint)
        self._limit(call)
        call.fault, seconds = self._fault(call)
        if refused := faults.refuse(call.fault):
            return refused, seconds
        if call.fault == "expired_token":
            self.exchange.tokens.expire(call.caller.uid)
            raise Refusal("53002")
        answer = await endpoint.handler(self.exchange, call)
        if call.fault == "50004_applied":
            timeout = Refusal("50004")
            answer = Answer(body=timeout.body(), status=timeout.status)
        return answer, seconds

    def _limit(self, call: Call) -> None:
        limit = self.endpoint.limit
        if limit is None:
            return
        by, _, parameter = limit.by.partition("+")
        who = call.caller.uid if by == "user" else call.ip
        if parameter:
            who += f" {self._parameter(call, parameter)}"
        self.exchange.limits.count(self.endpoint.name, who, limit)

    def _parameter(self, call: Call, name: str) -> str:
        return str(call.document().get(name, "")) if call.method == "POST" else call.query.get(name, "")

    def _fault(self, call: Call) -> tuple[str, float]:
        uid = call.account.uid if call.account else ""
        return self.exchange.faults.draw(
            method=call.method, path=self.endpoint.path, account=uid, kinds=partial(self._kinds, call)
        )

    def _kinds(self, call: Call) -> Iterator[str]:
        """The faults that may hit this request."""
        if self.endpoint.path == TOKEN_PATH:
            # A pair of tokens whose answer is lost would be lost for good.
            yield from faults.HARMLESS_KINDS
            return
        if call.method == "POST":
            yield from (kind for kind in faults.READ_KINDS if kind != "50004")
            yield from faults.POST_KINDS
        else:
            yield from faults.READ_KINDS
        if self.endpoint.path in PAGES:
            yield from faults.PAGE_KINDS
        if call.account is not None:
            yield from faults.TOKEN_KINDS if call.account.oauth else faults.SIGNED_KINDS


async def _read(scope: Scope, receive: Receive) -> Call:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > BODY_BYTES_MAX:
            break
    client = scope.get("client")
    return Call(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query_string=scope["query_string"].decode("latin-1"),
        headers=dict(scope["headers"]),
        body=body,
        ip=client[0] if client else "",
    )


async def _deliver(  # noqa: PLR0913 - an answer and the three parts of an ASGI request
    answer: Answer, fault: str, *, seconds: float, scope: Scope, receive: Receive, send: Send
) -> None:
    body, declared = answer.body, len(answer.body)
    if fault == "cut_before":
        await _cut(scope, receive)
        return
    if fault in {"cut_inside", "truncated"}:
        body = body[: max(len(body) * 2 // 3, 1)]
    if fault == "truncated":
        declared = len(body)
    headers = [(b"content-type", answer.content_type), (b"content-length", str(declared).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if fault == "cut_inside":
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _cut(scope, receive)
        return
    if fault == "slow":
        await _dribble(body, seconds, send)
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _dribble(body: bytes, seconds: float, send: Send) -> None:
    size = len(body) // PIECES + 1
    for start in range(0, len(body), size):
        await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
        await asyncio.sleep(seconds / PIECES)


async def _cut(scope: Scope, receive: Receive) -> None:
    """Ends the connection and waits until the server knows, so that it does not complain of a missing answer."""
    transport: Any = scope.get(TRANSPORT)
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
