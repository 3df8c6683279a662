"""OKX's envelope, {"code": "0", "msg": "", "data": [...]}, read leniently.

Unknown keys are ignored, `data` may be missing, `code` may be an integer. What is no envelope at all, cut off or a page of
some proxy, is an answer that did not arrive.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from settlement.venues.okx.errors import broken_answer, error_of

DONE = "0"


def data_of(body: bytes, *, status: int) -> list[Any]:
    """The rows of an answer; raises OkxError for every other answer."""
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        if status != HTTPStatus.OK:
            raise error_of(status=status, code="") from None
        raise broken_answer("the answer is cut off or no JSON", status=status) from None
    if not isinstance(envelope, dict) or "code" not in envelope:
        if status != HTTPStatus.OK:
            raise error_of(status=status, code="")
        raise broken_answer("the answer is no envelope", status=status)
    code = str(envelope["code"])
    if code != DONE or status != HTTPStatus.OK:
        raise error_of(status=status, code="" if code == DONE else code, message=str(envelope.get("msg", "")))
    data = envelope.get("data", [])
    if not isinstance(data, list):
        raise broken_answer("the answer holds no list under data", status=status)
    return data
