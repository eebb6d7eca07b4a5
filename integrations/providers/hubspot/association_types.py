"""HubSpot's numbers for what ties two records. The direction matters: 194 leads from a call to its contact, 193 back."""

from collections.abc import Mapping

Pair = tuple[str, str]

TYPE_IDS: Mapping[Pair, int] = {
    ("calls", "contacts"): 194,
    ("contacts", "calls"): 193,
    ("calls", "companies"): 182,
    ("companies", "calls"): 181,
    ("calls", "deals"): 206,
    ("deals", "calls"): 205,
    ("calls", "tickets"): 220,
    ("calls", "leads"): 597,
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
    ("contacts", "deals"): 4,
    ("deals", "contacts"): 3,
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
    ("notes", "contacts"): 202,
    ("tasks", "contacts"): 204,
    ("contacts", "tasks"): 203,
    ("tasks", "companies"): 192,
    ("companies", "tasks"): 191,
    ("tasks", "deals"): 216,
    ("deals", "tasks"): 215,
    ("meetings", "contacts"): 200,
    ("contacts", "meetings"): 199,
    ("meetings", "companies"): 188,
    ("companies", "meetings"): 187,
    ("meetings", "deals"): 212,
    ("deals", "meetings"): 211,
}
"""(from, to) → the type without a label, which "default" stands for."""

PRIMARY_IDS: Mapping[Pair, int] = {
    ("contacts", "companies"): 1,
    ("companies", "contacts"): 2,
    ("deals", "companies"): 5,
    ("companies", "deals"): 6,
}
"""(from, to) → the type that marks the one company that counts most."""

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"


def type_spec(pair: Pair, type_id: int | None = None) -> dict[str, str | int]:
    """How a request names an association's type: the given one, or the default of the pair."""
    number = TYPE_IDS[pair] if type_id is None else type_id
    return {"associationCategory": HUBSPOT_DEFINED, "associationTypeId": number}
