"""Routes about the account: who it is, its owners and its properties."""

import re
from typing import Any

from integrations.providers.hubspot.sandbox.portal import (
    PORTAL_ID,
    RefusalError,
    limit_of,
    page_of,
)
from integrations.providers.hubspot.sandbox.records import Records
from integrations.providers.hubspot.sandbox.schema import UNIQUE_PROPERTIES, define
from integrations.sandbox.http import Answer, Request, route

REQUIRED = ("name", "label", "groupName", "type", "fieldType")


class Account(Records):
    @route("GET", "/account-info/v3/details")
    def details(self, _: Request) -> Answer:
        told = {
            "portalId": PORTAL_ID,
            "accountType": "STANDARD",
            "timeZone": "America/New_York",
            "companyCurrency": "USD",
            "utcOffset": "-05:00",
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
        return Answer(200, told)

    @route("GET", "/crm/v3/owners")
    def owners(self, request: Request) -> Answer:
        limit, start = limit_of(request.arg("limit"), 100, 500), int(request.arg("after") or 0)
        archived, email = request.arg("archived") == "true", request.arg("email").lower()
        found = [
            owner
            for owner in self.store.all("owners")
            if owner["archived"] == archived and (not email or owner["email"].lower() == email)
        ]
        after = str(start + limit) if start + limit < len(found) else None
        return Answer(200, page_of(found[start : start + limit], after))

    # --- properties -------------------------------------------------------------------------------------------------

    @route("GET", "/crm/v3/properties/{type_}")
    def properties(self, _: Request, type_: str) -> Answer:
        return Answer(200, {"results": list(self.definitions(self.kind(type_)).values())})

    @route("GET", "/crm/v3/properties/{type_}/{name}")
    def property(self, _: Request, type_: str, name: str) -> Answer:
        definition = self.definitions(self.kind(type_)).get(name)
        if definition is None:
            raise RefusalError(404, f"Property {name} does not exist", "OBJECT_NOT_FOUND")
        return Answer(200, definition)

    @route("POST", "/crm/v3/properties/{type_}/groups")
    def create_group(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        if not body.get("name") or not body.get("label"):
            raise RefusalError(400, "Some required fields were not set: [name, label]")
        if self.store.get("property_groups", f"{kind}.{body['name']}"):
            raise RefusalError(409, f"A property group named {body['name']} already exists.", "OBJECT_ALREADY_EXISTS")
        return Answer(201, self.store.put("property_groups", f"{kind}.{body['name']}", {**body, "archived": False}))

    @route("POST", "/crm/v3/properties/{type_}")
    def create_property(self, request: Request, type_: str) -> Answer:
        return Answer(201, self.add_property(request, self.kind(type_), self.body(request)))

    def add_property(self, request: Request, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """The definition as it is kept. Raises what HubSpot would refuse."""
        self._check_property(kind, body)
        if body.get("hasUniqueValue"):
            fault = self.faults.draw(request.method, request.path, f"no_unique_{kind}")
            unique = [name for name in self.unique_names(kind) if name != "email"]
            if fault or len(unique) >= UNIQUE_PROPERTIES:
                raise RefusalError(400, f"No more properties with unique values can be created for {kind}")
        options = [(option["value"], option["label"]) for option in body.get("options") or []]
        definition = define(body["name"], body["label"], body["type"], body["fieldType"], options=options, custom=True)
        definition |= {"groupName": body["groupName"], "hasUniqueValue": bool(body.get("hasUniqueValue"))}
        self.keep_property(kind, definition)
        return definition

    def keep_property(self, kind: str, definition: dict[str, Any]) -> None:
        self.store.put("properties", f"{kind}.{definition['name']}", {"object": kind, "definition": definition})
        self.learn(kind, definition)

    def _check_property(self, kind: str, body: dict[str, Any]) -> None:
        missing = [key for key in REQUIRED if not body.get(key)]
        if missing:
            raise RefusalError(400, f"Some required fields were not set: [{', '.join(missing)}]")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", body["name"]):
            raise RefusalError(
                400, f"Property name {body['name']!r} may hold lower-case letters, digits and underscores only"
            )
        if self.store.get("property_groups", f"{kind}.{body['groupName']}") is None:
            raise RefusalError(400, f"Property group {body['groupName']} does not exist")
        if body["type"] == "enumeration" and not body.get("options"):
            raise RefusalError(400, "An enumeration needs options")
        if body["name"] in self.definitions(kind):
            raise RefusalError(409, f"A property named '{body['name']}' already exists.", "OBJECT_ALREADY_EXISTS")
