"""Bases and splits: read back by their ids, looked up or added by their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import orjson
from sqlalchemy import Connection, RowMapping, text

from settlement.rules.basis import Basis
from settlement.rules.in_force import Codes
from settlement.rules.reasons import Reason
from settlement.rules.split import Split


@dataclass
class BasisIds:
    """The ids of bases in the database, each looked up or added once."""

    connection: Connection
    _bases: dict[Basis, int] = field(default_factory=dict)
    _splits: dict[Split, int] = field(default_factory=dict)

    def of(self, bases: Sequence[Basis]) -> Codes:
        """The ids of `bases`, in their order."""
        self._add_splits([basis.split for basis in bases if basis.split and basis.split not in self._splits])
        new = [basis for basis in bases if basis not in self._bases]
        if new:
            self._bases.update(
                zip(new, _upsert(self.connection, _ADD_BASES, [self._row(basis) for basis in new]), strict=True)
            )
        return np.array([self._bases[basis] for basis in bases], dtype=np.int64)

    def _add_splits(self, splits: Sequence[Split]) -> None:
        new = list(dict.fromkeys(splits))
        if new:
            rows = [{"payees": list(split.payees), "shares": [str(share) for share in split.shares]} for split in new]
            self._splits.update(zip(new, _upsert(self.connection, _ADD_SPLITS, rows), strict=True))

    def _row(self, basis: Basis) -> Mapping[str, object]:
        return {
            "root": basis.root,
            "broker_id": basis.broker_id,
            "status": basis.reason.status,
            "reason": basis.reason.text,
            "product": basis.product,
            "tier": basis.tier,
            "rate": None if basis.rate is None else str(basis.rate),
            "terms_id": basis.terms_id,
            "split_id": self._splits[basis.split] if basis.split else None,
            "flags": basis.flags,
        }


@dataclass
class StoredBases:
    """The bases of stored lines by their ids. They never change, so a process reads each of them once."""

    _bases: dict[int, Basis] = field(default_factory=dict)

    def read_window(self, connection: Connection, window_start: datetime) -> None:
        """Reads the bases of a window's lines. Call it before those lines are streamed over the same connection."""
        self.read(connection, connection.execute(text(_BASES_OF_WINDOW), {"window_start": window_start}).scalars())

    def read(self, connection: Connection, basis_ids: Iterable[int]) -> None:
        """Reads the bases with these ids."""
        new = set(basis_ids) - self._bases.keys()
        if new:
            rows = connection.execute(text(_READ_BASES), {"ids": list(new)}).mappings()
            self._bases.update({row["basis_id"]: _basis(row) for row in rows})

    def of(self, basis_ids: Iterable[int]) -> list[Basis]:
        """The bases with these ids, in their order; KeyError for one whose window was not read."""
        return [self._bases[basis_id] for basis_id in basis_ids]


def _basis(row: RowMapping) -> Basis:
    plain = {name: row[name] for name in ("root", "broker_id", "product", "tier", "rate", "terms_id", "flags")}
    split = Split(payees=tuple(row["payees"]), shares=tuple(row["shares"])) if row["payees"] else None
    return Basis(reason=Reason[row["reason"] or Reason.EARNED.name], split=split, **plain)


_BASES_OF_WINDOW = "SELECT DISTINCT basis_id FROM line WHERE window_start = :window_start"
_READ_BASES = """
    SELECT basis_id, root, broker_id, reason, product, tier, rate, terms_id, flags, payees, shares
    FROM basis LEFT JOIN split USING (split_id) WHERE basis_id = ANY (:ids)
"""
_BASIS_COLUMNS = "root, broker_id, status, reason, product, tier, rate, terms_id, split_id, flags"
_ADD_BASES = f"""
    WITH wanted AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (root text, broker_id text, status text,
            reason text, product text, tier text, rate numeric, terms_id bigint, split_id bigint, flags text))
            WITH ORDINALITY
    ), added AS (
        INSERT INTO basis ({_BASIS_COLUMNS}) SELECT {_BASIS_COLUMNS} FROM wanted ON CONFLICT DO NOTHING
        RETURNING basis_id, {_BASIS_COLUMNS}
    ), known AS (
        SELECT basis_id, {_BASIS_COLUMNS} FROM added UNION ALL SELECT basis_id, {_BASIS_COLUMNS} FROM basis
        WHERE root IN (SELECT root FROM wanted)
    )
    SELECT k.basis_id FROM wanted w JOIN known k ON k.root = w.root AND k.reason = w.reason AND k.product = w.product
        AND k.flags = w.flags AND coalesce(k.broker_id, '') = coalesce(w.broker_id, '')
        AND coalesce(k.tier, '') = coalesce(w.tier, '') AND coalesce(k.rate, -1) = coalesce(w.rate, -1)
        AND coalesce(k.terms_id, 0) = coalesce(w.terms_id, 0) AND coalesce(k.split_id, 0) = coalesce(w.split_id, 0)
    ORDER BY w.ordinality
"""  # noqa: S608 - constants of this module
_ADD_SPLITS = """
    WITH wanted AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (payees text[], shares numeric[]))
            WITH ORDINALITY
    ), added AS (
        INSERT INTO split (payees, shares) SELECT payees, shares FROM wanted ON CONFLICT DO NOTHING
        RETURNING split_id, payees, shares
    ), known AS (
        SELECT split_id, payees, shares FROM added UNION ALL SELECT split_id, payees, shares FROM split
        WHERE payees IN (SELECT payees FROM wanted)
    )
    SELECT k.split_id FROM wanted w JOIN known k ON k.payees = w.payees AND k.shares = w.shares ORDER BY w.ordinality
"""


def _upsert(connection: Connection, statement: str, rows: Sequence[Mapping[str, object]]) -> list[int]:
    """Adds what is not there yet and returns the ids of all `rows`, in their order."""
    return list(connection.execute(text(statement), {"rows": orjson.dumps(rows).decode()}).scalars())
