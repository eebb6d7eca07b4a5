"""The properties of an object type, as HubSpot describes them to this credential."""

from collections.abc import Iterable, Mapping
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.defaults import MAPPINGS
from integrations.providers.hubspot.endpoints import path
from integrations.records.fields import FieldSpec

KINDS: Mapping[str, str] = {
    "string": "string",
    "number": "number",
    "date": "date",
    "datetime": "datetime",
    "bool": "boolean",
    "enumeration": "picklist",
    "phone_number": "phone",
}
"""`type` → kind. Types that HubSpot adds are shown as text."""

KINDS_BY_INPUT: Mapping[str, str] = {
    "phonenumber": "phone",
    "textarea": "text",
    "html": "text",
    "checkbox": "multipicklist",
    "booleancheckbox": "boolean",
}
"""`fieldType`, where it says more than the type."""

LONGEST_TEXT = 65_536
OWNER = "hubspot_owner_id"
MODIFIED: Mapping[str, str] = {"contacts": "lastmodifieddate"}
MODIFIED_ELSEWHERE = "hs_lastmodifieddate"
PLAIN = frozenset({*(row.crm_field for row in MAPPINGS), *MODIFIED.values(), MODIFIED_ELSEWHERE}) - {OWNER}
"""Properties known to be no owner's id, so that the default mapping is read without asking for the schema."""


class Schema:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, list[dict[str, Any]]] = {}
        self._hidden: set[str] = set()

    def describe(self, object_type: str) -> list[FieldSpec]:
        return [
            field_spec(definition) for definition in self.definitions(object_type) if not definition.get("archived")
        ]

    def definitions(self, object_type: str) -> list[dict[str, Any]]:
        """HubSpot's own descriptions, all in one answer, read once per provider instance."""
        if object_type not in self._known:
            body = body_of(self._api.request("GET", path("properties", type=object_type)))
            self._known[object_type] = list(body.get("results", []))
        return self._known[object_type]

    def forget(self, object_type: str) -> None:
        """Makes the next question ask HubSpot again: it has just contradicted what we knew."""
        self._known.pop(object_type, None)

    def known(self, object_type: str) -> dict[str, dict[str, Any]]:
        """Definition by name; empty when this credential may not see the schema."""
        try:
            definitions = [] if object_type in self._hidden else self.definitions(object_type)
        except errors.FixConfig:
            self._hidden.add(object_type)
            return {}
        return {one["name"]: one for one in definitions if not one.get("archived")}

    def owner_properties(self, object_type: str, names: Iterable[str]) -> frozenset[str]:
        """Which of these properties hold an owner's id."""
        unknown = frozenset(names) - PLAIN
        if unknown <= {OWNER}:
            return unknown
        try:
            definitions = self.definitions(object_type)
        except errors.FixConfig:
            return unknown & {OWNER}
        return unknown & {definition["name"] for definition in definitions if is_owner(definition)}


def modified_property(object_type: str) -> str:
    return MODIFIED.get(object_type, MODIFIED_ELSEWHERE)


def is_owner(definition: Mapping[str, Any]) -> bool:
    return definition.get("name") == OWNER or definition.get("referencedObjectType") == "OWNER"


def is_writable(definition: Mapping[str, Any]) -> bool:
    read_only = (definition.get("modificationMetadata") or {}).get("readOnlyValue")
    return not definition.get("calculated") and not read_only


def field_spec(definition: Mapping[str, Any]) -> FieldSpec:
    kind = _kind(definition)
    return FieldSpec(
        path=definition["name"],
        label=definition.get("label") or definition["name"],
        kind=kind,
        writable=is_writable(definition),
        # HubSpot leaves the key out rather than sending false.
        custom=not definition.get("hubspotDefined"),
        max_length=LONGEST_TEXT if kind in {"string", "text"} else None,
        options=tuple(
            (str(option["value"]), str(option.get("label") or option["value"]))
            for option in definition.get("options") or []
            if not option.get("hidden")
        ),
    )


def _kind(definition: Mapping[str, Any]) -> str:
    if is_owner(definition):
        return "user"
    if definition["name"] == "email":
        return "email"
    by_input = KINDS_BY_INPUT.get(definition.get("fieldType", ""))
    return by_input or KINDS.get(definition.get("type", ""), "string")
