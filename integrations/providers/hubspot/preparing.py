"""Gives the account what we need in it: unique properties that hold our own ids, and the contact properties that the default
mapping writes.

Whether every edition of HubSpot lets an app create a unique property is written nowhere, so a refusal is a normal outcome:
calls are then marked in their text, and a repeated attempt looks for what an earlier one may have written. A tenant who lets
nobody create anything (`check_only`) is told what to click instead.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot import properties
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.endpoints import path

REFUSED = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)
REMEMBERED: Mapping[str, str] = {
    "calls": "call_upsert",
    "contacts": "contact_upsert",
    "meetings": "meeting_upsert",
    "tasks": "task_upsert",
}
"""Object type → what tells, among the things remembered of an account, whether its records are upserted by our key."""
WITHOUT: Mapping[str, str] = {
    "calls": "Calls are logged all the same, with a mark in their text.",
    "contacts": "New contacts are created all the same, and looked for by their address after a broken attempt.",
    "meetings": "Meetings are booked all the same, with a mark in their text.",
    "tasks": "Follow-ups are set all the same, with a mark in their text.",
}
PAGES: Mapping[str, str] = {
    "calls": "Settings > Data Management > Properties > Call properties",
    "contacts": "Settings > Data Management > Properties > Contact properties",
    "meetings": "Settings > Data Management > Properties > Meeting properties",
    "tasks": "Settings > Data Management > Properties > Task properties",
}


def prepare(api: Api, remembered: Mapping[str, Any], *, check_only: bool = False) -> dict[str, Any]:
    """`…_upsert_since`: attempts before that may have left a record without our key."""
    warnings: list[str] = []
    found: dict[str, Any] = {}
    for object_type, name in REMEMBERED.items():
        upsert = _has_key(api, object_type, warnings, check_only=check_only)
        since = remembered.get(f"{name}_since") if remembered.get(name) else None
        found |= {name: upsert, f"{name}_since": (since or datetime.now(UTC).isoformat()) if upsert else None}
    warnings += _outbound(api, check_only=check_only)
    return {**found, "ui_domain": str(account(api).get("uiDomain") or ""), "warnings": warnings}


def account(api: Api) -> dict[str, Any]:
    details = body_of(api.request("GET", path("account")))
    if not details.get("portalId"):
        raise errors.Retry("HubSpot did not say which account this is. We will try again.", cause="unreadable_answer")
    return details


# --- our keys -------------------------------------------------------------------------------------------------------


def _has_key(api: Api, object_type: str, warnings: list[str], *, check_only: bool) -> bool:
    name = properties.KEYS[object_type]
    try:
        unique = properties.is_unique(api, object_type)
        if unique is None and not check_only:
            properties.create_group(api, object_type)
            properties.create(api, object_type, properties.key_definition(object_type))
            unique = properties.is_unique(api, object_type)
    except REFUSED as error:
        warnings.append(
            f"HubSpot does not let us add the property {name} to {object_type}. {WITHOUT[object_type]} To do without "
            f"that, grant crm.schemas.contacts.write and test the connection again. ({error.message})"
        )
        return False
    if not unique:
        warnings.append(_no_key(object_type, name) if unique is None else _not_unique(object_type, name))
    return bool(unique)


def _no_key(object_type: str, name: str) -> str:
    return (
        f"HubSpot's {object_type} have no property {name}, and we may not add any here. {WITHOUT[object_type]} To do without "
        f"that, create it in {PAGES[object_type]}: single-line text, internal name {name}, with the rule "
        '"Require unique values". Then test the connection again.'
    )


def _not_unique(object_type: str, name: str) -> str:
    return (
        f"The property {name} of {object_type} exists in HubSpot, but its values are not unique, which only its creation "
        f"can set. {WITHOUT[object_type]} Delete it there and test the connection again."
    )


# --- what the default mapping writes --------------------------------------------------------------------------------


def _outbound(api: Api, *, check_only: bool) -> Iterator[str]:
    try:
        missing = [one for one in properties.OUTBOUND if properties.read(api, "contacts", one["name"]) is None]
        if missing and not check_only:
            properties.create_group(api, "contacts")
            for definition in missing:
                properties.create(api, "contacts", definition)
            missing = []
    except REFUSED as error:
        yield (
            "HubSpot does not let us add the contact properties that hold what the dialer knows: "
            f"{_names(properties.OUTBOUND)}. Grant crm.schemas.contacts.write and test the connection again. "
            f"({error.message})"
        )
        return
    for one in missing:
        yield (
            f"Contacts have no property {one['name']}, so it is not written. Create it in {PAGES['contacts']} "
            f"({one['label']}, type {one['type']}) or map the field to another property."
        )


def _names(definitions: Any) -> str:
    return ", ".join(definition["name"] for definition in definitions)
