"""What OKX's codes mean for whoever asked.

VenueError (settlement/pipeline/venue.py)
└── OkxError     with an Action: what the client does about it

RETRY        OKX is busy, or the connection broke: again, soon; only for what may be done twice
BACK_OFF     too many requests: again, after a longer wait; the request had no effect
RESYNC       our clock is off: measure it again, then once more
REAUTHORISE  the access token has ended: a new pair, then once more
PARK         the account cannot be asked any more until somebody mends it
ALERT        a person has to mend something; the next pull asks again
REFUSE       the request is wrong, or what it names does not exist: asking again gives the same

Source: OKX API documents, "Error Code"; most business errors come under HTTP 200, throttling under 200 and under 429.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from settlement.pipeline.venue import VenueError


class Action(StrEnum):
    """What the client does about an error."""

    RETRY = "retry"
    BACK_OFF = "back off"
    RESYNC = "resync"
    REAUTHORISE = "reauthorise"
    PARK = "park"
    ALERT = "alert"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Meaning:
    """What a code says, what the client does, and what a person can do."""

    action: Action
    what: str
    mend: str = ""


_R, _B, _P, _A, _X = Action.RETRY, Action.BACK_OFF, Action.PARK, Action.ALERT, Action.REFUSE
_NEW_KEY = "make a new key at OKX and add the account again"
_PERMISSION = "give the key the Read permission at OKX"
_REPORT = "report it: the program sent a wrong request"

MEANINGS: Final[dict[str, Meaning]] = {
    "50000": Meaning(_X, "the request body is empty", _REPORT),
    "50001": Meaning(_R, "the service is unavailable"),
    "50002": Meaning(_X, "the request body is not JSON", _REPORT),
    "50004": Meaning(_R, "the endpoint timed out, and the outcome is unknown"),
    "50005": Meaning(_A, "the endpoint is gone", "look for a newer version of this program"),
    "50006": Meaning(_X, "the content type is wrong", _REPORT),
    "50007": Meaning(_P, "OKX has blocked the user", "ask OKX's support"),
    "50008": Meaning(_P, "the user does not exist", "check the account"),
    "50011": Meaning(_B, "too many requests"),
    "50013": Meaning(_R, "the systems are busy"),
    "50014": Meaning(_X, "a parameter is empty", _REPORT),
    "50015": Meaning(_X, "one of two parameters is needed", _REPORT),
    "50016": Meaning(_X, "two parameters do not match", _REPORT),
    "50026": Meaning(_R, "system error"),
    "50030": Meaning(_A, "the key has no permission for this endpoint", _PERMISSION),
    "50035": Meaning(
        _A, "this endpoint needs a key that is bound to an IP address", "bind the key to this machine's IP"
    ),
    "50038": Meaning(_X, "not available in demo trading", "use the live environment"),
    "50040": Meaning(_B, "the operation is too frequent"),
    "50042": Meaning(_X, "a repeated request"),
    "50044": Meaning(_X, "one broker type has to be chosen", "pass brokerType"),
    "50061": Meaning(_B, "the sub-account's order limit is exceeded"),
    "50067": Meaning(_X, "the feature is not offered through the API"),
    "50071": Meaning(_X, "it exists already"),
    "50076": Meaning(_X, "the span of time is too long", "ask for a shorter one"),
    "50077": Meaning(_X, "the span of time is too long", "ask for a shorter one"),
    "50100": Meaning(_A, "API access is frozen", "ask OKX's support"),
    "50101": Meaning(
        _A, "the key is of the other environment", "add the account again with demo true for a demo key, else false"
    ),
    "50102": Meaning(Action.RESYNC, "the timestamp is too far from OKX's clock", "set this machine's clock (NTP)"),
    "50103": Meaning(_A, "the header OK-ACCESS-KEY is empty", "add the account again with its api_key"),
    "50104": Meaning(_A, "the header OK-ACCESS-PASSPHRASE is empty", "add the account again with its passphrase"),
    "50105": Meaning(_P, "the passphrase is wrong", "add the account again with the passphrase of this key"),
    "50106": Meaning(_A, "the header OK-ACCESS-SIGN is empty", "add the account again with its secret"),
    "50107": Meaning(_A, "the header OK-ACCESS-TIMESTAMP is empty", _REPORT),
    "50110": Meaning(_A, "this machine's IP address is not on the key's list", "add it to the key's IP list at OKX"),
    "50111": Meaning(_P, "the API key is not known", "check api_key, or " + _NEW_KEY),
    "50112": Meaning(Action.RESYNC, "the timestamp is not valid", "set this machine's clock (NTP)"),
    "50113": Meaning(_P, "the signature is wrong", "add the account again with the secret of this key"),
    "50114": Meaning(_P, "the authorization is not valid", _NEW_KEY),
    "50116": Meaning(_X, "Fast API allows one key per user", "delete the old key first"),
    "50117": Meaning(_X, "Fast API is for API brokers only"),
    "50118": Meaning(_X, "an IP address is needed to bind an app"),
    "50119": Meaning(_P, "the key does not exist any more: the user has revoked it", _NEW_KEY),
    "50120": Meaning(_A, "the key has no permission for this function", _PERMISSION),
    "51001": Meaning(_X, "the instrument does not exist"),
    "51603": Meaning(_X, "the order does not exist"),
    "53000": Meaning(Action.REAUTHORISE, "the access token is not valid"),
    "53001": Meaning(
        _P, "the user has cancelled the authorization", "let the user authorise again, then add the account"
    ),
    "53002": Meaning(Action.REAUTHORISE, "the access token has expired"),
    "53003": Meaning(_P, "the access token was revoked", "let the user authorise again, then add the account"),
    "53004": Meaning(_P, "the account is frozen", "ask OKX's support"),
    "53005": Meaning(_P, "the refresh token is not valid", "let the user authorise again, then add the account"),
    "53014": Meaning(_A, "this machine's IP address is not on the app's list", "add it to the app's list at OKX"),
    "53016": Meaning(_A, "the redirect_uri is wrong", "correct the app's settings at OKX"),
    "53017": Meaning(_A, "Fast API is off", "ask OKX to open it for this broker"),
    "58102": Meaning(_B, "too many requests on the funding side"),
    "58116": Meaning(_X, "the transfer is above what is available", "top up"),
    "58124": Meaning(_X, "the transfer is in process", "ask for its state, never send it again"),
    "58207": Meaning(_A, "the address is not on the verified list", "verify the address at OKX"),
    "58350": Meaning(_X, "the balance is insufficient", "top up"),
}
OAUTH_CODES: Final = range(53000, 53018)

_BY_STATUS: Final = {
    HTTPStatus.TOO_MANY_REQUESTS: Meaning(_B, "too many requests"),
    HTTPStatus.REQUEST_TIMEOUT: Meaning(_R, "the request timed out"),
    HTTPStatus.UNAUTHORIZED: Meaning(_A, "not authorised", "run: settlement accounts check"),
    HTTPStatus.FORBIDDEN: Meaning(_A, "forbidden", "run: settlement accounts check"),
    HTTPStatus.GONE: Meaning(_A, "the endpoint is gone", "look for a newer version of this program"),
}


class OkxError(VenueError):
    """OKX refused, or did not answer; `action` says what the client does about it, `status` is that of HTTP (0: none)."""

    def __init__(self, what: str, *, action: Action, code: str = "", mend: str = "", status: int = 0) -> None:
        self.action, self.status = action, status
        super().__init__(
            what,
            code=code,
            mend=mend,
            retry_helps=action in {Action.RETRY, Action.BACK_OFF, Action.RESYNC},
            parks=action is Action.PARK,
        )


def error_of(*, status: int, code: str, message: str = "") -> OkxError:
    """The error that an answer stands for; `code` is "" where the body told none."""
    meaning = MEANINGS.get(code) or _unlisted(code, status)
    told = f": {message[:200]}" if message and code not in MEANINGS else ""
    return OkxError(meaning.what + told, action=meaning.action, code=code, mend=meaning.mend, status=status)


def broken_answer(what: str, *, status: int = 0) -> OkxError:
    """An answer that did not come, or not whole."""
    return OkxError(what, action=Action.RETRY, status=status, mend="check the base_url and the connection to OKX")


def _unlisted(code: str, status: int) -> Meaning:
    if code.isdecimal() and int(code) in OAUTH_CODES:  # whatever the status: these come under 400 and under 401
        return Meaning(_P, "the authorization was refused", "let the user authorise again, then add the account")
    return _by_status(status) or Meaning(_X, "OKX refused the request", "look the code up in OKX's documents")


def _by_status(status: int) -> Meaning | None:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Meaning(_R, f"OKX answers HTTP {status}")
    known = {int(key): meaning for key, meaning in _BY_STATUS.items()}
    return known.get(status) or (Meaning(_X, f"OKX answers HTTP {status}") if status != HTTPStatus.OK else None)
