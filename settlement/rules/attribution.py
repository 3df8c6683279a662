"""Attribution: whose client made this fill?

1. The tag first: a `tag` that equals a broker code in force at execution names that broker.
2. Else the account's client link in force at execution names its broker.
3. Else the fill is unattributed.
4. If both exist and name different brokers, the tag wins and the line carries the flag TAG_OVERRIDES_LINK.
5. Who the client is (affiliated, account class) comes from the link in force, whichever broker it names.

Codes are compared exactly, with case. A code that has ended or not begun does not attribute, but still shows that the
order came through the API.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import NONE, Coded, Codes, positions, take
from settlement.rules.tree import Path

TAG_OVERRIDES_LINK = "TAG_OVERRIDES_LINK"


@dataclass(frozen=True)
class Attribution:
    """Per fill: the broker's path, the client link and what led there. Codes are -1 where there is none."""

    path: Codes
    paths: list[Path]
    tag_is_code: npt.NDArray[np.bool_]
    tag_row: Codes
    link_row: Codes
    link_names_broker: npt.NDArray[np.bool_]
    overrides: npt.NDArray[np.bool_]

    @property
    def attributed(self) -> npt.NDArray[np.bool_]:
        """True where the fill has a broker."""
        has_broker = np.array([bool(path.brokers) for path in self.paths], dtype=bool)
        known: npt.NDArray[np.bool_] = take(has_broker, self.path, missing=False)
        return known

    def roots(self) -> list[str]:
        """The root of each distinct path; empty for none."""
        return [path.root if path.brokers else "" for path in self.paths]


def attribute(batch: Batch, facts: Facts) -> Attribution:
    """Attributes fills by their venue, account, tag and executed_at."""
    times, tags = batch.times, batch.text("tag")
    names = pd.Index(list(dict.fromkeys([*facts.codes["broker_id"], *facts.clients["broker_id"]])), dtype=object)

    tag_row = facts.in_force("codes").rows_at(tags, times)
    link_row = facts.in_force("clients").rows_at(batch.accounts, times)
    by_tag = take(positions(facts.codes["broker_id"], names), tag_row)
    by_link = take(positions(facts.clients["broker_id"], names), link_row)
    broker = np.where(by_tag != NONE, by_tag, by_link)

    path, paths = facts.tree.paths(broker, names, times)
    return Attribution(
        path=path,
        paths=paths,
        tag_is_code=_is_any_code(tags, facts),
        tag_row=tag_row,
        link_row=link_row,
        link_names_broker=(broker != NONE) & (by_link == broker),
        overrides=(by_tag != NONE) & (by_link != NONE) & (by_tag != by_link),
    )


def _is_any_code(tags: Coded, facts: Facts) -> npt.NDArray[np.bool_]:
    return tags.matches(facts.codes["code"].astype(object))
