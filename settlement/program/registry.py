"""The registry: who the brokers are, which codes and clients are theirs, and what the venue says of the clients.

1. Seven CSV files, each effective-dated by key: of the rows for a key, the one with the latest effective_from <= t is in
   force at t, if it has not ended. Rows may overlap; two rows with the same key and effective_from are refused.
2. The whole load is refused for a share or rebate_share outside 0..1, a sub-broker without a share, a root with one, a
   row that ends before it begins, a code that is not 1-16 letters and digits, an override whose value is out of bounds:
   money would go to somebody by mistake.
3. A bad value of another kind puts its row aside.
4. VIP levels: Lv1..Lv5 are 0, "VIP3" = "vip 3" = "3".
5. Overrides: a `rate` or a `floor` is a part of one with at most 6 decimals, for one product and liquidity or for all
   (empty, or "all"); a `cap` is above 0 USDT, a `minimum_payout` 0 USDT or more, with at most 12 decimals, for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import AMOUNT
from settlement.errors import InputRefused
from settlement.program.csv_columns import BadRow, Columns, Mask, mask_of, read_whole
from settlement.program.terms_tiers import RATE_DECIMALS
from settlement.rules.facts import ALL
from settlement.rules.money import LEDGER_DECIMALS
from settlement.rules.products import PRODUCTS

CODE_PATTERN = r"^[A-Za-z0-9]{1,16}$"
_LOW_LEVEL = r"^LV[1-5]$"
_LEVEL = r"^(?:VIP)?\d{1,2}$"
_OWN_ACCOUNTS = r'^[^\s:;,"{}\\]+:[^\s:;,"{}\\]+(?:;[^\s:;,"{}\\]+:[^\s:;,"{}\\]+)*$'
_TRUE, _FALSE = "true", "false"

RATE_KINDS = ("rate", "floor")
OVERRIDE_KINDS = (*RATE_KINDS, "cap", "minimum_payout")

Checked = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RegistryFile:
    """One of the seven files: its columns, its key, and the check that turns them into typed columns."""

    file: str
    table: str
    key: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    check: Callable[[Columns], Checked]


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """The good rows of a file, typed, with `row_number`, and the rows put aside."""

    file: RegistryFile
    path: Path
    rows: pa.Table
    bad_rows: tuple[BadRow, ...]
    read: int


def read_registry(directory: Path) -> list[CheckedFile]:
    """Every registry file in `directory`, checked. Raises `InputRefused` for what refuses the whole load."""
    if not directory.is_dir():
        raise InputRefused(
            "no such directory", where=str(directory), mend="give the directory that holds the CSV files"
        )
    present = [file for file in REGISTRY_FILES if (directory / file.file).is_file()]
    if not present:
        names = ", ".join(file.file for file in REGISTRY_FILES)
        raise InputRefused("no registry file in it", where=str(directory), mend=f"put at least one of {names} there")
    return [_checked(file, directory / file.file) for file in present]


def check_rows(name: str, rows: pa.Table, *, source: str) -> CheckedFile:
    """Rows of text that did not come from a file, checked as those of the registry file `name`; numbered from 1."""
    return _check(file_named(name), Columns(rows, file=source, first_row=1), path=Path(source))


def file_named(name: str) -> RegistryFile:
    """The registry file of that name, such as "brokers.csv"."""
    return next(file for file in REGISTRY_FILES if file.file == name)


def _checked(file: RegistryFile, path: Path) -> CheckedFile:
    return _check(file, read_whole(path, required=file.required, optional=file.optional), path=path)


def _check(file: RegistryFile, columns: Columns, *, path: Path) -> CheckedFile:
    checked = file.check(columns)
    _refuse_duplicates(columns, checked, key=file.key)
    rows = columns.good_rows(checked)
    return CheckedFile(file=file, path=path, rows=rows, bad_rows=tuple(columns.bad_rows()), read=columns.table.num_rows)


def _refuse_duplicates(columns: Columns, checked: Checked, *, key: tuple[str, ...]) -> None:
    names = [*key, "effective_from"]
    frame = pa.table({name: checked[name] for name in names}).to_pandas(types_mapper=pd.ArrowDtype)
    frame = frame[~columns.bad]
    repeated = frame[frame.duplicated(names, keep="first")]
    if repeated.empty:
        return
    second = repeated.iloc[0]
    same = np.logical_and.reduce([(frame[name] == second[name]).to_numpy(dtype=bool) for name in names])
    first = columns.row_number(frame.index[same][0])
    raise InputRefused(
        f"the same {' and '.join(names)} as in row {first}: {', '.join(str(second[name]) for name in key)}",
        where=f"{columns.file} row {columns.row_number(repeated.index[0])}",
        mend="keep one of the two rows, or give them different effective_from",
    )


def _brokers(columns: Columns) -> Checked:
    broker_id = columns.required("broker_id")
    columns.put_aside(mask_of(pc.starts_with(broker_id, "client:")), "broker_id", 'may not begin with "client:"')
    parent_id, share = columns.optional("parent_id"), _part_of_one(columns, "share")
    no_parent, no_share = mask_of(pc.is_null(parent_id)), mask_of(pc.is_null(share))
    mend = "a sub-broker has a parent_id and a share, a root has neither"
    columns.refuse(no_share & ~no_parent, "a sub-broker without share", mend=mend)
    columns.refuse(no_parent & ~no_share, "a root broker with a share", mend=mend)
    own_accounts = columns.optional("own_accounts")
    malformed = ~mask_of(pc.match_substring_regex(own_accounts, _OWN_ACCOUNTS)) & mask_of(pc.is_valid(own_accounts))
    columns.put_aside(malformed, "own_accounts", 'is not "venue:account" joined by ";"')
    return {
        "broker_id": broker_id,
        "name": columns.required("name"),
        "model": columns.one_of("model", ("api", "oauth")),
        "parent_id": parent_id,
        "share": share,
        "status": columns.required("status"),
        **_period(columns),
        "own_accounts": _array_literals(own_accounts),
        "payout_rail": columns.optional("payout_rail"),
        "payout_address": columns.optional("payout_address"),
    }


def _codes(columns: Columns) -> Checked:
    code = columns.text("code")
    malformed = ~mask_of(pc.match_substring_regex(code, CODE_PATTERN))
    columns.refuse(
        malformed,
        "is not 1-16 letters and digits",
        mend="write it as the venue knows it, without spaces",
        name="code",
    )
    return {"code": code, "broker_id": columns.required("broker_id"), **_period(columns)}


def _clients(columns: Columns) -> Checked:
    affiliated = pc.utf8_lower(columns.optional("affiliated"))
    wrong = ~mask_of(pc.is_in(affiliated, value_set=pa.array([_TRUE, _FALSE]))) & mask_of(pc.is_valid(affiliated))
    columns.put_aside(wrong, "affiliated", "is not true or false")
    return {
        **_account(columns),
        "broker_id": columns.required("broker_id"),
        **_period(columns),
        "referral_code": columns.optional("referral_code"),
        "affiliated": pc.fill_null(affiliated, _FALSE),
        "account_class": columns.optional("account_class"),
        "rebate_share": _part_of_one(columns, "rebate_share"),
    }


def _vip_levels(columns: Columns) -> Checked:
    compact = pc.replace_substring_regex(pc.utf8_upper(columns.required("level")), r"\s", "")
    low, ranked = pc.match_substring_regex(compact, _LOW_LEVEL), pc.match_substring_regex(compact, _LEVEL)
    columns.put_aside(~mask_of(pc.or_(low, ranked)), "level", "is not a VIP level: write Lv1 to Lv5, or VIP0 and above")
    level = pc.if_else(low, "0", pc.replace_substring(compact, "VIP", ""))
    return {**_account(columns), "level": level, "effective_from": columns.times("effective_from")}


def _fee_rates(columns: Columns) -> Checked:
    return {
        **_account(columns),
        "product": columns.one_of("product", PRODUCTS),
        "liquidity": columns.one_of("liquidity", ("maker", "taker")),
        "rate": columns.decimals("rate"),
        "effective_from": columns.times("effective_from"),
    }


def _tiers(columns: Columns) -> Checked:
    return {
        "broker_id": columns.required("broker_id"),
        "tier": columns.required("tier"),
        **_period(columns),
        "reason": columns.optional("reason"),
    }


def _overrides(columns: Columns) -> Checked:
    kind = columns.one_of("kind", OVERRIDE_KINDS)
    product, liquidity = _scope(columns, "product", PRODUCTS), _scope(columns, "liquidity", ("maker", "taker"))
    value = columns.decimals("value")
    of_rate = mask_of(pc.is_in(kind, value_set=pa.array(RATE_KINDS)))
    for name, scope in (("product", product), ("liquidity", liquidity)):
        columns.put_aside(~of_rate & mask_of(pc.not_equal(scope, ALL)), name, "is for a rate or a floor only")
    amounts = _amounts(columns, value)
    _refuse_finer(columns, amounts, of_rate, decimals=RATE_DECIMALS)
    _refuse_finer(columns, amounts, ~of_rate, decimals=LEDGER_DECIMALS)
    outside = _outside(amounts, low=0, high=1)
    columns.refuse(of_rate & outside, "a rate or floor is outside 0..1", mend="write a part of one: 25 % is 0.25")
    negative, is_cap = _outside(amounts, low=0), mask_of(pc.equal(kind, "cap"))
    nothing = is_cap & mask_of(pc.equal(amounts, pa.scalar(0, AMOUNT)))
    columns.refuse(~of_rate & negative, "an amount is below 0", mend="write an amount in USDT")
    columns.refuse(nothing, "a cap is 0", mend="write what a client may bring in a month, in USDT")
    return {
        "broker_id": columns.required("broker_id"),
        "kind": kind,
        "product": product,
        "liquidity": liquidity,
        "value": value,
        **_period(columns),
        "reason": columns.optional("reason"),
    }


def _scope(columns: Columns, name: str, choices: tuple[str, ...]) -> Any:
    """One of `choices`, or ALL where it is empty."""
    values = pc.fill_null(columns.optional(name), ALL)
    wrong = ~mask_of(pc.is_in(values, value_set=pa.array([*choices, ALL])))
    columns.put_aside(wrong, name, f"is not {' or '.join((*choices, ALL))}")
    return values


def _refuse_finer(columns: Columns, amounts: Any, where: Mask, *, decimals: int) -> None:
    cut = pc.round(amounts, decimals, round_mode="towards_zero")
    finer = where & mask_of(pc.not_equal(cut, amounts))
    columns.refuse(finer, f"a value has more than {decimals} decimals", mend=f"round it to {decimals} decimals")


def _account(columns: Columns) -> Checked:
    return {"venue": columns.required("venue"), "account": columns.required("account")}


def _period(columns: Columns) -> Checked:
    begins = columns.times("effective_from")
    ends = columns.times("effective_to", required=False) if "effective_to" in columns.table.column_names else None
    if ends is None:
        return {"effective_from": begins, "effective_to": pa.nulls(columns.table.num_rows, begins.type)}
    columns.refuse(
        mask_of(pc.less_equal(ends, begins)),
        "effective_to is not after effective_from",
        mend="end the row after it begins, or leave effective_to empty",
    )
    return {"effective_from": begins, "effective_to": ends}


def _part_of_one(columns: Columns, name: str) -> Any:
    if name not in columns.table.column_names:
        return columns.optional(name)
    written = columns.decimals(name, required=False)
    outside = _outside(_amounts(columns, written), low=0, high=1)
    columns.refuse(outside, f"{name} is outside 0..1", mend="write a part of one: 40 % is 0.4")
    return written


def _amounts(columns: Columns, written: Any) -> Any:
    """The decimals of the rows that are good so far, null in the others."""
    return pc.cast(pc.if_else(pa.array(columns.bad), pa.scalar(None, pa.string()), written), AMOUNT)


def _outside(amounts: Any, *, low: int, high: int | None = None) -> Mask:
    outside = mask_of(pc.less(amounts, pa.scalar(low, AMOUNT)))
    return outside if high is None else outside | mask_of(pc.greater(amounts, pa.scalar(high, AMOUNT)))


def _array_literals(own_accounts: Any) -> Any:
    """Accounts joined by ";" as PostgreSQL's array literal, sorted and without repeats: order says nothing."""
    literals = [
        "{" + ",".join(sorted(set(text.split(";")))) + "}" if text and re.match(_OWN_ACCOUNTS, text) else "{}"
        for text in own_accounts.to_pylist()
    ]
    return pa.array(literals, pa.string())


REGISTRY_FILES: tuple[RegistryFile, ...] = (
    RegistryFile(
        file="brokers.csv",
        table="broker",
        key=("broker_id",),
        required=("broker_id", "name", "model", "parent_id", "share", "status", "effective_from"),
        optional=("effective_to", "own_accounts", "payout_rail", "payout_address"),
        check=_brokers,
    ),
    RegistryFile(
        file="codes.csv",
        table="broker_code",
        key=("code",),
        required=("code", "broker_id", "effective_from"),
        optional=("effective_to",),
        check=_codes,
    ),
    RegistryFile(
        file="clients.csv",
        table="client_link",
        key=("venue", "account"),
        required=("venue", "account", "broker_id", "effective_from"),
        optional=("effective_to", "referral_code", "affiliated", "account_class", "rebate_share"),
        check=_clients,
    ),
    RegistryFile(
        file="vip_levels.csv",
        table="vip_level",
        key=("venue", "account"),
        required=("venue", "account", "level", "effective_from"),
        optional=(),
        check=_vip_levels,
    ),
    RegistryFile(
        file="fee_rates.csv",
        table="fee_rate",
        key=("venue", "account", "product", "liquidity"),
        required=("venue", "account", "product", "liquidity", "rate", "effective_from"),
        optional=(),
        check=_fee_rates,
    ),
    RegistryFile(
        file="tiers.csv",
        table="tier_override",
        key=("broker_id",),
        required=("broker_id", "tier", "effective_from"),
        optional=("effective_to", "reason"),
        check=_tiers,
    ),
    RegistryFile(
        file="overrides.csv",
        table="broker_override",
        key=("broker_id", "kind", "product", "liquidity"),
        required=("broker_id", "kind", "product", "liquidity", "value", "effective_from"),
        optional=("effective_to", "reason"),
        check=_overrides,
    ),
)
