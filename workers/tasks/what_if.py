"""What-ifs, in the queue `settle`, a slice at a time."""

from __future__ import annotations

from settlement.pipeline.sweep import SimulateTerms
from settlement.pipeline.what_if_facts import AssumedFacts
from settlement.pipeline.what_if_stretches import simulate_for
from workers.app import task
from workers.handover import hand_over
from workers.process import database

FACTS = AssumedFacts()
# Then other work of the queue gets its turn: windows are settled while months are being simulated.
SLICE_SECONDS = 20


@task(name="settlement.simulate_terms")
def simulate_terms(what_if_id: int) -> None:
    """Settles stretches of a what-if for a while, then hands over what is left.

    Race: any number of these share a what-if; a stretch is claimed by one of them. Killed, it leaves whole stretches settled.
    """
    for _ in range(simulate_for(database(), what_if_id, seconds=SLICE_SECONDS, cache=FACTS)):
        hand_over(SimulateTerms(what_if_id))
