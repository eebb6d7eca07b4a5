"""Gives the account what exactly-once logging needs: a unique property of calls that holds our call's id.

Whether every edition of HubSpot lets an app create one is written nowhere, so a refusal is a normal outcome: calls are
then marked in their text, and a repeated attempt reads the contact's calls first.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.endpoints import path
from integrations.providers.hubspot.lookup import ID_PROPERTY

GROUP = {"name": "dialer", "label": "Dialer", "displayOrder": -1}
DEFINITION = {
    "name": ID_PROPERTY,
    "label": "Dialer call id",
    "description": "Tells the dialer's calls apart, so that each is logged once. Please leave it alone.",
    "groupName": GROUP["name"],
    "type": "string",
    "fieldType": "text",
    "hasUniqueValue": True,
    "formField": False,
}
REFUSED = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)


def prepare(api: Api, remembered: Mapping[str, Any]) -> dict[str, Any]:
    """`call_upsert_since`: attempts before that may have left a call without the property."""
    warnings: list[str] = []
    upsert = _has_unique_property(api, warnings)
    since = remembered.get("call_upsert_since") if remembered.get("call_upsert") else None
    return {
        "call_upsert": upsert,
        "call_upsert_since": (since or datetime.now(UTC).isoformat()) if upsert else None,
        "ui_domain": str(account(api).get("uiDomain") or ""),
        "warnings": warnings,
    }


def account(api: Api) -> dict[str, Any]:
    details = body_of(api.request("GET", path("account")))
    if not details.get("portalId"):
        raise errors.Retry("HubSpot did not say which account this is. We will try again.", cause="unreadable_answer")
    return details


def is_unique(api: Api) -> bool | None:
    """Whether calls have our property as a unique one; None when they have no such property."""
    response = api.request("GET", path("property", type="calls", name=ID_PROPERTY), accept=(404,))
    return None if response.status_code == 404 else bool(body_of(response).get("hasUniqueValue"))


def _has_unique_property(api: Api, warnings: list[str]) -> bool:
    try:
        unique = is_unique(api)
        if unique is None:
            _create(api)
            unique = is_unique(api)
    except REFUSED as error:
        warnings.append(
            f"HubSpot does not let us add the call property {ID_PROPERTY}. Calls are logged all the same, with a mark "
            f"in their text. To do without it, grant crm.schemas.contacts.write and test the connection again. "
            f"({error.message})"
        )
        return False
    if not unique:
        warnings.append(
            f"The call property {ID_PROPERTY} exists in HubSpot, but its values are not unique, which only "
            "its creation can set. Delete it there and test the connection again; until then calls carry a mark."
        )
    return bool(unique)


def _create(api: Api) -> None:
    """409 means that it is there already: somebody else was faster."""
    api.request("POST", path("property_groups", type="calls"), json=GROUP, repeatable=True, accept=(409,))
    api.request("POST", path("properties", type="calls"), json=DEFINITION, repeatable=True, accept=(409,))
