"""The properties that we add to an account, and the requests that add them."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.endpoints import path
from integrations.providers.hubspot.lookup import ID_PROPERTY

CONTACT_KEY = "dialer_contact_id"
KEYS: Mapping[str, str] = {
    "calls": ID_PROPERTY,
    "contacts": CONTACT_KEY,
    "meetings": "dialer_meeting_id",
    "tasks": "dialer_task_id",
}
"""Object type → the unique property that holds our own id, which makes a creation repeatable."""

GROUP = {"name": "dialer", "label": "Dialer", "displayOrder": -1}
DO_NOT_TOUCH = "Tells the dialer's {0} apart, so that each is written once. Please leave it alone."

YES_NO = (
    {"label": "Yes", "value": "true", "displayOrder": 0, "hidden": False},
    {"label": "No", "value": "false", "displayOrder": 1, "hidden": False},
)

Definition = dict[str, Any]


def _definition(name: str, label: str, type_: str, field_type: str) -> Definition:
    shape = {"type": type_, "fieldType": field_type, "formField": False}
    return {"name": name, "label": label, "groupName": GROUP["name"], **shape}


def _checkbox(name: str, label: str) -> Definition:
    return {**_definition(name, label, "bool", "booleancheckbox"), "options": YES_NO}


def key_definition(object_type: str) -> Definition:
    """Only its creation can make a property unique, and an object has room for ten such properties."""
    one = object_type.removesuffix("s")
    definition = _definition(KEYS[object_type], f"Dialer {one} id", "string", "text")
    return {**definition, "description": DO_NOT_TOUCH.format(object_type), "hasUniqueValue": True}


OUTBOUND: Sequence[Definition] = (
    _definition("last_call_date", "Last call date", "datetime", "date"),
    _definition("num_calls", "Number of calls", "number", "number"),
    _definition("ai_call_score", "AI call score", "number", "number"),
    _definition("last_call_disposition", "Last call disposition", "string", "text"),
    _checkbox("dialer_do_not_call", "Do not call"),
)
"""What the default mapping writes to contacts and HubSpot has not by itself: it keeps who must not be mailed, but not who must not
be called."""


def read(api: Api, object_type: str, name: str) -> Definition | None:
    """None when there is no such property, or it is archived."""
    response = api.request("GET", path("property", type=object_type, name=name), accept=(404,))
    return None if response.status_code == 404 else body_of(response)


def is_unique(api: Api, object_type: str = "calls") -> bool | None:
    """Whether the type has our key as a unique property; None when it has no such property."""
    definition = read(api, object_type, KEYS[object_type])
    return None if definition is None else bool(definition.get("hasUniqueValue"))


def create_group(api: Api, object_type: str) -> None:
    """409 means that it is there already: somebody else was faster. So it does for a property."""
    api.request("POST", path("property_groups", type=object_type), json=GROUP, repeatable=True, accept=(409,))


def create(api: Api, object_type: str, definition: Mapping[str, Any]) -> None:
    address = path("properties", type=object_type)
    api.request("POST", address, json=dict(definition), repeatable=True, accept=(409,))
