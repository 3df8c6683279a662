"""Products: what kind of thing was traded, by the venue's instrument type."""

from __future__ import annotations

from typing import Final

SPOT, FUTURES, OPTIONS, EVENTS = "spot", "futures", "options", "events"
PRODUCTS: Final = (SPOT, FUTURES, OPTIONS, EVENTS)

PRODUCT_OF: Final = {
    "SPOT": SPOT,
    "MARGIN": SPOT,
    "SWAP": FUTURES,
    "FUTURES": FUTURES,
    "OPTION": OPTIONS,
    "EVENTS": EVENTS,
}

# Executions that the venue made, not the client (OKX v5, subType of a fill): (partial) liquidation, ADL, delivery,
# system conversion, quick margin, moved positions, auto conversion.
SYSTEM_SUB_TYPES: Final = {
    "okx": frozenset(str(code) for code in (*range(100, 129), 212, 213, *range(324, 330), 376, 377)),
}
