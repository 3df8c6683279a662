"""Events on the wire: CloudEvents 1.0 in structured JSON, one data model per type and version.

An event says that something has been committed. It is delivered at least once, so a listener keeps the ids it has seen.
Within a version only optional fields are added; anything else is a new version, named in `dataschema`.
`json_schema(type)` is the JSON Schema of what stands in the Redis stream `settlement.events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

SOURCE = "/broker-settlement"
VERSION = 1

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal in plain notation, in USDT.")]


class EventData(BaseModel):
    """What an event is about. A field that the model does not know is a mistake of the sender, found when it is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FillsIngested(EventData):
    """Fills of one load are stored. `windows` are the hours they belong to."""

    load_id: int
    source: str
    read: Count
    stored: Count
    duplicate: Count
    conflict: Count
    quarantined: Count
    windows: list[AwareDatetime] = []


class FillQuarantined(EventData):
    """Rows of one load were put aside: bad ones, and known keys with other content (conflicts)."""

    load_id: int
    source: str
    bad_row: Count
    conflict: Count


class SourceLagging(EventData):
    """The fills of one account could not be pulled several times in a row, or are not pulled any more (`parked`)."""

    source: str
    account: str
    reason: str
    parked: bool


class WindowDue(EventData):
    """A run of a window is open; each of its shards (one per root broker, "" for unattributed fills) can be settled."""

    run_id: int
    window_start: AwareDatetime
    roots: list[str]


class WindowSettled(EventData):
    """Every shard of a run is settled. `fills` and the lines by status are those of the window as it stands."""

    run_id: int
    window_start: AwareDatetime
    kind: Literal["scheduled", "supplementary", "recalculation"]
    fills: Count
    earned: Count
    excluded: Count
    pending: Count
    commission_usdt: Amount


class WindowIncomplete(EventData):
    """A window was settled at its deadline although these sources had not passed its end."""

    window_start: AwareDatetime
    sources: list[str]


class PayoutInstructed(EventData):
    """One payee is to be paid."""

    payout_id: int
    payee: str
    amount_usdt: Amount
    status: Literal["waiting", "approved"]
    window_start: AwareDatetime | None


class TierChanged(EventData):
    """A root broker has another tier from `effective_from` on. `direction` is null where the terms do not rank both tiers."""

    broker_id: str
    effective_from: AwareDatetime
    from_tier: str
    to_tier: str
    direction: Literal["upgrade", "downgrade"] | None
    by: Literal["review", "override", "recalculation"]


class RecalculationPlanned(EventData):
    """A plan can be approved. `lines` would change in `windows`, and commission by `commission_usdt` in all."""

    plan_id: int
    range_start: AwareDatetime
    range_end: AwareDatetime
    reason: str
    planned_by: str
    windows: Count
    lines: Count
    commission_usdt: Amount


class RecalculationApplied(EventData):
    """Everything that a plan changes is posted."""

    plan_id: int
    range_start: AwareDatetime
    range_end: AwareDatetime
    applied_by: str


DATA: Mapping[str, type[EventData]] = {
    "fills.ingested": FillsIngested,
    "fill.quarantined": FillQuarantined,
    "source.lagging": SourceLagging,
    "window.due": WindowDue,
    "window.settled": WindowSettled,
    "window.incomplete": WindowIncomplete,
    "payout.instructed": PayoutInstructed,
    "tier.changed": TierChanged,
    "recalculation.planned": RecalculationPlanned,
    "recalculation.applied": RecalculationApplied,
}


class CloudEvent(BaseModel):
    """One event in its envelope (CloudEvents 1.0). `id` is the same at every delivery."""

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: str = SOURCE
    type: str
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    data: dict[str, Any]


def dataschema(event_type: str) -> str:
    """The URI that names the schema of the type's data, with its version."""
    return f"urn:broker-settlement:event:{event_type}:{VERSION}"


def check_data(event_type: str, data: bytes) -> None:
    """Raises ValueError if the type is unknown, or if `data` (JSON) is not what its model says."""
    model = DATA.get(event_type)
    if model is None:
        raise ValueError(f"unknown event type {event_type!r}; add its data model to schemas/wire/events.py")
    model.model_validate_json(data)


def json_schema(event_type: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one type's events, envelope and data."""
    fields: dict[str, Any] = {
        "type": (Literal[event_type], ...),
        "dataschema": (Literal[dataschema(event_type)], ...),
        "data": (DATA[event_type], ...),
    }
    typed = create_model(event_type, __base__=CloudEvent, **fields)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **typed.model_json_schema(mode="serialization")}
