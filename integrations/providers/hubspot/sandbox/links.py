"""Routes that tie calls to contacts."""

from typing import Any

from integrations.providers.hubspot.sandbox.portal import RefusalError, limit_of, page_of
from integrations.providers.hubspot.sandbox.records import Records
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

TYPE_IDS = {("calls", "contacts"): 194, ("contacts", "calls"): 193}
BATCH_LIMIT = 2000


class Links(Records):
    @route("GET", "/crm/v4/objects/{type_}/{record_id}/associations/{to_type}")
    def list_links(self, request: Request, type_: str, record_id: str, to_type: str) -> Answer:
        kind, other = self._pair(type_, to_type)
        if self.find(kind, record_id) is None:
            raise self.missing(kind, record_id)
        limit, start = limit_of(request.arg("limit"), 500, 500), int(request.arg("after") or 0)
        linked = self._linked(kind, record_id)
        told = {"category": "HUBSPOT_DEFINED", "typeId": TYPE_IDS[kind, other], "label": None}
        page = [{"toObjectId": int(found), "associationTypes": [told]} for found in linked[start : start + limit]]
        return Answer(200, page_of(page, str(start + limit) if start + limit < len(linked) else None))

    @route("PUT", "/crm/v4/objects/{type_}/{record_id}/associations/default/{to_type}/{to_id}")
    def link_one(self, _: Request, type_: str, record_id: str, to_type: str, to_id: str) -> Answer:
        kind, other = self._pair(type_, to_type)
        return Answer(200, _batch_answer([self._link(kind, record_id, other, to_id)], []))

    @route("POST", "/crm/v4/associations/{type_}/{to_type}/batch/associate/default")
    def link_batch(self, request: Request, type_: str, to_type: str) -> Answer:
        kind, other = self._pair(type_, to_type)
        inputs = self.body(request).get("inputs") or []
        if not 1 <= len(inputs) <= BATCH_LIMIT:
            raise RefusalError(400, f"inputs must hold between 1 and {BATCH_LIMIT} pairs")
        results, problems = [], []
        for pair in inputs:
            try:
                results.append(self._link(kind, str(pair["from"]["id"]), other, str(pair["to"]["id"])))
            except RefusalError as refusal:
                problems.append(refusal.body)
        return Answer(207 if problems else 200, _batch_answer(results, problems))

    def inline_contacts(self, kind: str, item: dict[str, Any]) -> list[str]:
        """The contacts that a create names itself."""
        contacts = []
        for link in item.get("associations") or []:
            if [spec.get("associationTypeId") for spec in link.get("types", [])] != [TYPE_IDS.get((kind, "contacts"))]:
                raise RefusalError(400, "One or more association types are not valid between these objects")
            contacts.append(str(link["to"]["id"]))
        invalid = [contact for contact in contacts if self.find("contacts", contact) is None]
        if invalid:
            raise _invalid("contacts", *invalid)
        return contacts

    def tie(self, call: Document, contacts: list[str]) -> Document:
        """HubSpot counts the call on the contact, which moves the contact's modified date."""
        new = [contact for contact in contacts if contact not in call["associations"].get("contacts", ())]
        if not new:
            return call
        for contact_id in new:
            contact = self.find("contacts", contact_id)
            if contact is not None:
                count = int(contact["properties"].get("num_contacted_notes", 0)) + 1
                self.change(contact, {"num_contacted_notes": str(count), "notes_last_contacted": self.stamp()})
        linked = [*call["associations"]["contacts"], *new]
        return self._keep({**call, "associations": {"contacts": linked}})

    def retie(self, call_id: str, loser: str, winner: str) -> None:
        call = self.store.get("calls", call_id)
        if call is not None:
            linked = [winner if contact == loser else contact for contact in call["associations"]["contacts"]]
            self._keep({**call, "associations": {"contacts": list(dict.fromkeys(linked))}})

    def _pair(self, type_: str, to_type: str) -> tuple[str, str]:
        pair = self.kind(type_), self.kind(to_type)
        if pair not in TYPE_IDS:
            raise RefusalError(400, f"{pair[0]} cannot be associated with {pair[1]}")
        return pair

    def _linked(self, kind: str, record_id: str) -> list[str]:
        if kind == "contacts":
            return [call for call in self.calls_of[record_id] if self.find("calls", call)]
        document = self.store.get(kind, record_id) or {}
        return list(document["associations"]["contacts"])

    def _link(self, kind: str, record_id: str, other: str, to_id: str) -> dict[str, Any]:
        call_id, contact_id = (record_id, to_id) if kind == "calls" else (to_id, record_id)
        call, contact = self.find("calls", call_id), self.find("contacts", contact_id)
        if contact is None:
            raise _invalid("contacts", contact_id)
        if call is None:
            raise _invalid("calls", call_id)
        self.tie(call, [contact_id])
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TYPE_IDS[kind, other]}
        return {"from": {"id": record_id}, "to": {"id": to_id}, "associationSpec": spec}


def _invalid(kind: str, *ids: str) -> RefusalError:
    name = kind.removesuffix("s").upper()
    told = [f"{name}={record_id} is not valid" for record_id in ids]
    context = {"INVALID_OBJECT_IDS": told, "objectId": list(ids), "objectType": [name]}
    return RefusalError(400, "One or more associations are invalid", context=context)


def _batch_answer(results: list[Any], problems: list[Any]) -> dict[str, Any]:
    return {
        "status": "COMPLETE",
        "results": results,
        **({"numErrors": len(problems), "errors": problems} if problems else {}),
    }
