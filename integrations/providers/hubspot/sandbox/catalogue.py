"""Routes for what belongs to the account rather than to a record: one owner, properties in batches, call outcomes."""

from typing import Any

from integrations.providers.hubspot.sandbox.account import Account
from integrations.providers.hubspot.sandbox.portal import RefusalError
from integrations.sandbox.http import Answer, Request, route

OWNER_KEYS = {"": "id", "id": "id", "userId": "userId"}


class Catalogue(Account):
    @route("GET", "/crm/v3/owners/{owner_id}")
    def owner(self, request: Request, owner_id: str) -> Answer:
        key, archived = OWNER_KEYS.get(request.arg("idProperty")), request.arg("archived") == "true"
        if key is None:
            raise RefusalError(400, "idProperty must be id or userId")
        for owner in self.store.all("owners"):
            if str(owner[key]) == owner_id and owner["archived"] == archived:
                return Answer(200, owner)
        raise RefusalError(404, f"Owner {owner_id} does not exist", "OBJECT_NOT_FOUND")

    @route("GET", "/calling/v1/dispositions")
    def dispositions(self, _: Request) -> Answer:
        """A bare list, as of old."""
        options = self.definitions("calls")["hs_call_disposition"]["options"]
        return Answer(200, [{"id": each["value"], "label": each["label"], "deleted": False} for each in options])

    @route("POST", "/crm/v3/properties/{type_}/batch/create")
    def create_properties(self, request: Request, type_: str) -> Answer:
        """All or, where one is there already or wrong, the others."""
        results: list[Any] = []
        problems: list[Any] = []
        for definition in self.body(request).get("inputs") or []:
            try:
                results.append(self.add_property(request, self.kind(type_), definition))
            except RefusalError as refusal:
                problems.append({**refusal.body, "context": {"name": [str(definition.get("name"))]}})
        failed = {"numErrors": len(problems), "errors": problems} if problems else {}
        return Answer(207 if problems else 201, {"status": "COMPLETE", "results": results, **failed})

    @route("POST", "/crm/v3/properties/{type_}/batch/read")
    def read_properties(self, request: Request, type_: str) -> Answer:
        known = self.definitions(self.kind(type_))
        names = [str(each.get("name")) for each in self.body(request).get("inputs") or []]
        return Answer(200, {"status": "COMPLETE", "results": [known[name] for name in names if name in known]})

    @route("POST", "/crm/v3/properties/{type_}/batch/archive")
    def archive_properties(self, request: Request, type_: str) -> Answer:
        for each in self.body(request).get("inputs") or []:
            self.archive_property(request, type_, str(each.get("name")))
        return Answer(204)

    @route("DELETE", "/crm/v3/properties/{type_}/{name}")
    def archive_property(self, _: Request, type_: str, name: str) -> Answer:
        kind = self.kind(type_)
        definition = self.definitions(kind).get(name)
        if definition is not None and definition.get("hubspotDefined"):
            raise RefusalError(400, f"Property {name} is HubSpot's own and cannot be deleted")
        self.definitions(kind).pop(name, None)
        self.store.delete("properties", f"{kind}.{name}")
        return Answer(204)
