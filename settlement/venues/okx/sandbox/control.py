"""/sandbox/: what is done to the exchange from outside, and what it has counted. Never limited, never faulty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from settlement.venues.okx.sandbox.faults import planned_faults
from settlement.venues.okx.sandbox.shelf import DAY_MS, HISTORY_DAYS

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.exchange import Exchange

Answering = Callable[[Request], Coroutine[Any, Any, Response]]
FILLS_DAYS = 1


def control_routes(exchange: Exchange) -> list[Route]:
    """The routes of the control API."""
    control = Control(exchange)
    table: tuple[tuple[str, str, Answering], ...] = (
        ("GET", "/sandbox/accounts", control.list_accounts),
        ("POST", "/sandbox/accounts/{uid}", control.edit_account),
        ("POST", "/sandbox/clock", control.set_clock),
        ("POST", "/sandbox/faults", control.set_faults),
        ("POST", "/sandbox/late", control.hold),
        ("POST", "/sandbox/release", control.release),
        ("GET", "/sandbox/stats", control.stats),
        ("GET", "/sandbox/fills", control.fills),
        ("GET", "/sandbox/ready", control.ready),
    )
    return [Route(path, _told(handler), methods=[method]) for method, path, handler in table]


class Control:
    """One method a route."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - starlette gives it
        """The line that was printed at the start."""
        return _json(self.exchange.ready_line())

    async def list_accounts(self, request: Request) -> Response:  # noqa: ARG002 - starlette gives it
        """Every account's state."""
        return _json([account.state() for account in self.exchange.accounts.by_uid.values()])

    async def edit_account(self, request: Request) -> Response:
        """Changes one account."""
        account = self.exchange.accounts.by_uid.get(request.path_params["uid"])
        if account is None:
            return _json({"error": "no such account"}, status=404)
        account.edit(await _document(request))
        return _json(account.state())

    async def set_clock(self, request: Request) -> Response:
        """Sets the exchange's clock apart from the machine's."""
        document = await _document(request)
        self.exchange.offset_ms = round(float(document["offset_seconds"]) * 1000)
        return _json({"ts": str(self.exchange.now_ms())})

    async def set_faults(self, request: Request) -> Response:
        """Sets the rate, the seed of the stream, or the script, which replaces the one before."""
        document, faults = await _document(request), self.exchange.faults
        if "rate" in document:
            faults.rate = float(document["rate"])
        if "seed" in document:
            faults.restart(int(document["seed"]))
        if "script" in document:
            faults.script = planned_faults(document["script"])
        return _json({"rate": faults.rate, "script": len(faults.script)})

    async def hold(self, request: Request) -> Response:
        """Keeps back a share of the rows, until an instant or until released."""
        document = await _document(request)
        until = document.get("until", "released")
        hold = self.exchange.lateness.hold(
            account=str(document.get("account", "")),
            share=int(document["share_per_mille"]),
            until_ms=None if until == "released" else int(until),
        )
        return _json(hold.described())

    async def release(self, request: Request) -> Response:
        """Ends one hold, or all."""
        document = await _document(request)
        ended = self.exchange.lateness.release(document.get("hold"))
        return _json([hold.described() for hold in ended])

    async def stats(self, request: Request) -> Response:  # noqa: ARG002 - starlette gives it
        """What was counted: requests, those over a limit, faults by kind, fills served."""
        exchange = self.exchange
        return _json(
            {
                "requests": dict(exchange.requests),
                "over_limit": dict(exchange.limits.over),
                "faults": dict(exchange.faults.done),
                "fills_served": exchange.fills_served,
                "tokens_refreshed": exchange.tokens.refreshed,
            }
        )

    async def fills(self, request: Request) -> Response:
        """Rows as JSON lines, each with its account: of the last day, or from `begin` to `end`; `all=true`: unseen too."""
        asked, now = request.query_params, self.exchange.now_ms()
        begin = max(int(asked.get("begin", now - FILLS_DAYS * DAY_MS)), now - HISTORY_DAYS * DAY_MS)
        end = int(asked.get("end", now))
        everything = asked.get("all") == "true"
        uids = [asked["account"]] if "account" in asked else [each.uid for each in self.exchange.accounts.clients()]
        lines = self._lines(uids, begin=begin, end=end if everything else min(end, now), everything=everything)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _lines(self, uids: list[str], *, begin: int, end: int, everything: bool) -> AsyncIterator[bytes]:
        shelf = self.exchange.shelf
        for uid in uids:
            start = b'{"account":' + orjson.dumps(uid) + b","
            rows = shelf.everything(uid, begin_ms=begin, end_ms=end, seen_only=not everything)
            waiting = [start + text[1:] + b"\n" async for text in rows]
            yield b"".join(waiting)


def _told(handler: Answering) -> Answering:
    """The handler, with what it does not understand told as 400."""

    async def answering(request: Request) -> Response:
        try:
            return await handler(request)
        except (ValueError, TypeError, KeyError) as error:
            return _json({"error": f"missing: {error}" if isinstance(error, KeyError) else str(error)}, status=400)

    return answering


async def _document(request: Request) -> dict[str, Any]:
    body = await request.body()
    document = orjson.loads(body) if body else {}
    if not isinstance(document, dict):
        raise ValueError("give a JSON object")  # noqa: TRY004 - one error for all that is not understood
    return document


def _json(content: Any, *, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")
