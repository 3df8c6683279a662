"""OKX's codes, each with what the client does about it; and that an error says what follows from it."""

from __future__ import annotations

import pytest

from settlement.venues.okx.errors import MEANINGS, Action, OkxError, broken_answer, error_of

# The documented status, and what is done. The codes are those of OKX's documents that reading and paying can meet.
TABLE = """
code   HTTP  action
50000  400   refuse
50001  503   retry
50002  400   refuse
50004  400   retry
50005  410   alert
50006  400   refuse
50007  200   park
50008  200   park
50011  200   back off
50011  429   back off
50013  429   retry
50014  400   refuse
50015  400   refuse
50016  400   refuse
50026  500   retry
50030  200   alert
50035  403   alert
50038  200   refuse
50040  200   back off
50042  200   refuse
50044  200   refuse
50061  200   back off
50067  200   refuse
50071  200   refuse
50076  200   refuse
50077  200   refuse
50100  400   alert
50101  401   alert
50102  401   resync
50103  401   alert
50104  401   alert
50105  401   park
50106  401   alert
50107  401   alert
50110  401   alert
50111  401   park
50112  401   resync
50113  401   park
50114  401   park
50116  200   refuse
50117  200   refuse
50118  200   refuse
50119  200   park
50120  200   alert
51001  200   refuse
51603  200   refuse
53000  401   reauthorise
53001  401   park
53002  401   reauthorise
53003  401   park
53004  401   park
53005  400   park
53014  401   alert
53016  400   alert
53017  400   alert
58102  429   back off
58116  200   refuse
58124  200   refuse
58207  200   alert
58350  200   refuse
"""
# What is not in the list of codes: by its range, else by the status of HTTP.
UNLISTED = """
code   HTTP  action
53006  400   park
53010  401   park
53015  200   park
59999  200   refuse
59999  400   refuse
59999  401   alert
59999  429   back off
59999  500   retry
none   400   refuse
none   401   alert
none   403   alert
none   404   refuse
none   408   retry
none   410   alert
none   429   back off
none   500   retry
none   502   retry
none   503   retry
none   504   retry
"""


def lines(table: str) -> list[tuple[str, int, Action]]:
    split = [line.split(maxsplit=2) for line in table.strip().splitlines()[1:]]
    return [("" if code == "none" else code, int(status), Action(action)) for code, status, action in split]


@pytest.mark.parametrize(("code", "status", "action"), [*lines(TABLE), *lines(UNLISTED)])
def test_a_code_has_its_action(code: str, status: int, action: Action) -> None:
    error = error_of(status=status, code=code, message="told by OKX")
    assert (error.action, error.code, error.status) == (action, code, status)


def test_the_table_names_every_code_that_has_a_meaning() -> None:
    assert {code for code, _, _ in lines(TABLE)} == MEANINGS.keys()


def test_whoever_has_to_mend_something_is_told_how() -> None:
    silent = [
        code for code, meaning in MEANINGS.items() if meaning.action in {Action.ALERT, Action.PARK} and not meaning.mend
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("action", "retry_helps", "parks"),
    [
        (Action.RETRY, True, False),
        (Action.BACK_OFF, True, False),
        (Action.RESYNC, True, False),
        (Action.REAUTHORISE, False, False),
        (Action.PARK, False, True),
        (Action.ALERT, False, False),
        (Action.REFUSE, False, False),
    ],
)
def test_an_error_says_whether_trying_again_helps_and_whether_it_parks(
    action: Action,
    retry_helps: bool,  # noqa: FBT001 - a column of the table
    parks: bool,  # noqa: FBT001 - the same
) -> None:
    error = OkxError("what", action=action)
    assert (error.retry_helps, error.parks) == (retry_helps, parks)


def test_a_listed_code_speaks_in_our_words_and_another_in_okx_s_cut_short() -> None:
    assert str(error_of(status=401, code="50105", message="Passphrase x7 incorrect")) == (
        "the passphrase is wrong (50105); add the account again with the passphrase of this key"
    )
    unlisted = error_of(status=200, code="59999", message="m" * 500)
    assert unlisted.what == "OKX refused the request: " + "m" * 200


def test_an_answer_that_did_not_come_has_no_code_and_is_worth_another_try() -> None:
    error = broken_answer("the answer is cut off", status=200)
    assert (error.action, error.code, error.retry_helps) == (Action.RETRY, "", True)
