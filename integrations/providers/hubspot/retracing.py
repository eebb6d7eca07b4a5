"""Finds records that a broken attempt to create them may have left behind, where our own key could not be kept with them.

A contact is known by its address, which HubSpot gives to one contact only. Anything else is looked for by what we sent,
among the records made since the attempt; the search index lags, so ask a while after the attempt.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.objects import Objects
from integrations.providers.hubspot.shaping import millis_of

CREATED: Mapping[str, str] = {"calls": "hs_createdate"}
CREATED_ELSEWHERE = "createdate"
SLACK = timedelta(minutes=1)
"""By how much HubSpot's clock may be behind ours."""
COMPARED = frozenset({"string", "number", "enumeration", "phone_number"})
"""Types whose values are found as they were sent."""
MOST_FILTERS = 5
LONGEST = 200

Properties = Mapping[str, str]


def by_address(objects: Objects, wanted: Mapping[str, Properties]) -> dict[str, str]:
    """Our key → id of the contact that has this address."""
    addresses = {key: properties["email"].lower() for key, properties in wanted.items() if properties.get("email")}
    if not addresses:
        return {}
    asked = list(dict.fromkeys(addresses.values()))
    body = objects.batch_read("contacts", asked, ["email"], id_property="email")
    known = {str(one["properties"].get("email") or "").lower(): str(one["id"]) for one in body.get("results", [])}
    return {key: known[address] for key, address in addresses.items() if address in known}


def by_content(
    objects: Objects, object_type: str, properties: Properties, since: datetime, types: Mapping[str, str]
) -> str:
    """Id of the first record made since then with these values, empty if there is none. `types`: property → its type."""
    alike = _telling(properties, types)
    if not alike:
        return ""
    created = {"operator": "GTE", "value": str(millis_of(since - SLACK))}
    filters: list[dict[str, Any]] = [{"propertyName": CREATED.get(object_type, CREATED_ELSEWHERE), **created}]
    filters += [{"propertyName": name, "operator": "EQ", "value": properties[name]} for name in alike]
    query = {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": list(alike),
        "limit": 1,
    }
    found = body_of(objects.search(object_type, query)).get("results", [])
    return str(found[0]["id"]) if found else ""


def _telling(properties: Properties, types: Mapping[str, str]) -> Sequence[str]:
    """The names of the longest values, which tell records apart best."""
    usable = [
        name
        for name, value in properties.items()
        if value and len(value) <= LONGEST and types.get(name, "string") in COMPARED
    ]
    return sorted(usable, key=lambda name: (-len(properties[name]), name))[:MOST_FILTERS]
