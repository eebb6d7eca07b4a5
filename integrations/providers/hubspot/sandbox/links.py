"""Routes that tie two records, one pair at a time, and what every way of tying shares.

A tie has one or more types on each side: the default one, "primary", or another that HubSpot defines.
"""

from collections.abc import Sequence
from typing import Any

from integrations.providers.hubspot.association_types import PRIMARY_IDS, TYPE_IDS
from integrations.providers.hubspot.sandbox.portal import KINDS, RefusalError, limit_of, page_of
from integrations.providers.hubspot.sandbox.records import BY_CALCULATION, Records
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

PAGE_LIMIT = 500
ONE = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "calls": "call",
    "meetings": "meeting",
    "tasks": "task",
}
NUMBERS = {name: number for number, name in KINDS.items()}
MIRRORED = {
    (*pair, number): table[pair[::-1]]
    for table in (TYPE_IDS, PRIMARY_IDS)
    for pair, number in table.items()
    if pair[::-1] in table
}
"""(from, to, type) → the type of the same tie seen from the other side."""
LABELS = {**dict.fromkeys(TYPE_IDS.values(), None), **dict.fromkeys(PRIMARY_IDS.values(), "Primary")}


class Links(Records):
    @route("GET", "/crm/v4/objects/{type_}/{record_id}/associations/{to_type}")
    def list_links(self, request: Request, type_: str, record_id: str, to_type: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        if self.find(kind, record_id) is None:
            raise self.missing(kind, record_id)
        limit, start = limit_of(request.arg("limit"), PAGE_LIMIT, PAGE_LIMIT), int(request.arg("after") or 0)
        linked = [told_link(found, types) for found, types in self.linked(kind, record_id, other).items()]
        after = str(start + limit) if start + limit < len(linked) else None
        return Answer(200, page_of(linked[start : start + limit], after))

    @route("PUT", "/crm/v4/objects/{type_}/{record_id}/associations/default/{to_type}/{to_id}")
    def link_by_default(self, _: Request, type_: str, record_id: str, to_type: str, to_id: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        return Answer(200, {"status": "COMPLETE", "results": [self.link(kind, record_id, other, to_id)]})

    @route("PUT", "/crm/v4/objects/{type_}/{record_id}/associations/{to_type}/{to_id}")
    def link_by_type(self, request: Request, type_: str, record_id: str, to_type: str, to_id: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        types = self.types_of(kind, other, self.listed(request))
        self.link(kind, record_id, other, to_id, types)
        ends = {"fromObjectTypeId": NUMBERS[kind], "fromObjectId": int(record_id)}
        ends |= {"toObjectTypeId": NUMBERS[other], "toObjectId": int(to_id)}
        return Answer(201, {**ends, "labels": [LABELS[number] for number in types if LABELS[number]]})

    @route("DELETE", "/crm/v4/objects/{type_}/{record_id}/associations/{to_type}/{to_id}")
    def unlink_all(self, _: Request, type_: str, record_id: str, to_type: str, to_id: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        self.unlink(kind, record_id, other, to_id)
        return Answer(204)

    @route("PUT", "/crm/v3/objects/{type_}/{record_id}/associations/{to_type}/{to_id}/{named}")
    def link_classic(self, _: Request, type_: str, record_id: str, to_type: str, to_id: str, named: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        self.link(kind, record_id, other, to_id, [self.type_id(kind, other, named)])
        document = self.find(kind, record_id)
        return Answer(200, self.show(document, []) if document else {})

    @route("DELETE", "/crm/v3/objects/{type_}/{record_id}/associations/{to_type}/{to_id}/{named}")
    def unlink_classic(self, _: Request, type_: str, record_id: str, to_type: str, to_id: str, named: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        self.unlink(kind, record_id, other, to_id, self.type_id(kind, other, named))
        return Answer(204)

    # --- what is said of types --------------------------------------------------------------------------------------

    def pair(self, type_: str, to_type: str) -> tuple[str, str]:
        pair = self.kind(type_), self.kind(to_type)
        if pair not in TYPE_IDS:
            raise RefusalError(400, f"{pair[0]} cannot be associated with {pair[1]}")
        return pair

    def type_id(self, kind: str, other: str, named: str) -> int:
        """By number, or by a name such as `call_to_contact`."""
        known = {TYPE_IDS[kind, other], PRIMARY_IDS.get((kind, other))}
        if named == f"{ONE[kind]}_to_{ONE[other]}":
            return TYPE_IDS[kind, other]
        if not named.isdigit() or int(named) not in known:
            raise RefusalError(400, f"Association type {named} is not valid between {kind} and {other}")
        return int(named)

    def types_of(self, kind: str, other: str, specs: Any) -> list[int]:
        if not isinstance(specs, list) or not specs:
            raise RefusalError(400, "At least one association type has to be named")
        if any(spec.get("associationCategory") != "HUBSPOT_DEFINED" for spec in specs):
            raise RefusalError(400, "One or more association categories are not valid")
        return [self.type_id(kind, other, str(spec.get("associationTypeId"))) for spec in specs]

    def listed(self, request: Request) -> Any:
        try:
            return request.json()
        except ValueError as error:
            raise RefusalError(400, f"Invalid input JSON: {error}") from error

    # --- tying ------------------------------------------------------------------------------------------------------

    def linked(self, kind: str, record_id: str, other: str) -> dict[str, list[int]]:
        """Id → types of all records of the other kind that are tied to this one and are not in the bin."""
        tied = self.links[kind, record_id][other]
        return {found: types for found, types in tied.items() if self.find(other, found)}

    def link(
        self, kind: str, record_id: str, other: str, to_id: str, types: Sequence[int] | None = None
    ) -> dict[str, Any]:
        for place, each in ((other, to_id), (kind, record_id)):
            if self.find(place, each) is None:
                raise invalid(place, each)
        types = [TYPE_IDS[kind, other]] if types is None else types
        held = self.links[kind, record_id][other].get(to_id, [])
        new = [number for number in types if number not in held]
        if new:
            default = TYPE_IDS[kind, other]
            self._put_link(kind, record_id, other, to_id, list(dict.fromkeys([*held, *new, default])))
            self._tell_link(kind, record_id, other, to_id, new[0], removed=False)
        if not held and "calls" in (kind, other):
            self._count_call(record_id if kind == "contacts" else to_id if other == "contacts" else "")
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": types[0]}
        return {"from": {"id": record_id}, "to": {"id": to_id}, "associationSpec": spec}

    def unlink(self, kind: str, record_id: str, other: str, to_id: str, type_id: int | None = None) -> None:
        """Takes one type away, or the whole tie. What is not there is gone already."""
        held = self.links[kind, record_id][other].get(to_id, [])
        left = [number for number in held if number not in {type_id, TYPE_IDS[kind, other]}] if type_id else []
        if held:
            self._put_link(kind, record_id, other, to_id, left)
            self._tell_link(kind, record_id, other, to_id, type_id or TYPE_IDS[kind, other], removed=True)

    def relink(self, kind: str, loser: str, winner: str) -> None:
        """A merge: whatever was tied to the one is tied to the other."""
        for other, tied in list(self.links[kind, loser].items()):
            for found, types in list(tied.items()):
                self._put_link(kind, loser, other, found, [])
                held = self.links[kind, winner][other].get(found, [])
                self._put_link(kind, winner, other, found, list(dict.fromkeys([*held, *types])))

    def inline_links(self, kind: str, item: dict[str, Any]) -> list[tuple[str, str, list[int]]]:
        """(other kind, id, types) of what a create is tied to from the start. Raises for anything that isn't valid."""
        found = []
        for link in item.get("associations") or []:
            specs = link.get("types", [])
            numbers = {spec.get("associationTypeId") for spec in specs}
            others = [pair[1] for pair, number in TYPE_IDS.items() if pair[0] == kind and number in numbers]
            others += [pair[1] for pair, number in PRIMARY_IDS.items() if pair[0] == kind and number in numbers]
            if not others or others[0] not in ONE:
                raise RefusalError(400, "One or more association types are not valid between these objects")
            found.append((others[0], str(link["to"]["id"]), self.types_of(kind, others[0], specs)))
        missing = [(other, to_id) for other, to_id, _ in found if self.find(other, to_id) is None]
        if missing:
            raise invalid(missing[0][0], *(to_id for _, to_id in missing))
        return found

    def tie(self, document: Document, links: Sequence[tuple[str, str, list[int]]]) -> Document:
        for other, to_id, types in links:
            self.link(document["kind"], document["id"], other, to_id, types)
        return document

    def _put_link(self, kind: str, record_id: str, other: str, to_id: str, types: list[int]) -> None:
        """Both sides of a tie; without types it ends."""
        mirrored = [MIRRORED[kind, other, number] for number in types if (kind, other, number) in MIRRORED]
        for one, one_id, two, two_id, told in (
            (kind, record_id, other, to_id, types),
            (other, to_id, kind, record_id, mirrored),
        ):
            key = f"{one}:{one_id}>{two}:{two_id}"
            if told:
                self.links[one, one_id][two][two_id] = told
                self.store.put(
                    "links", key, {"kind": one, "id": one_id, "other": two, "other_id": two_id, "types": told}
                )
            elif self.links[one, one_id][two].pop(two_id, None) is not None:
                self.store.delete("links", key)

    def _tell_link(self, kind: str, record_id: str, other: str, to_id: str, type_id: int, *, removed: bool) -> None:
        told = {
            "associationType": f"{ONE[kind]}_to_{ONE[other]}".upper(),
            "fromObjectId": int(record_id),
            "toObjectId": int(to_id),
            "associationTypeId": type_id,
            "associationCategory": "HUBSPOT_DEFINED",
            "fromObjectTypeId": NUMBERS[kind],
            "toObjectTypeId": NUMBERS[other],
            "associationRemoved": removed,
            "isPrimaryAssociation": type_id in PRIMARY_IDS.values(),
        }
        self.tell(kind, [record_id], "associationChange", told)

    def _count_call(self, contact_id: str) -> None:
        """HubSpot counts calls on the contact, which moves the contact's modified date."""
        contact = self.find("contacts", contact_id)
        if contact is not None:
            count = int(contact["properties"].get("num_contacted_notes", 0)) + 1
            with self.by(BY_CALCULATION if self.source else ""):
                self.change(contact, {"num_contacted_notes": str(count), "notes_last_contacted": self.stamp()})


def told_link(found: str, types: Sequence[int]) -> dict[str, Any]:
    """Ids are numbers here."""
    told = [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": LABELS[number]} for number in types]
    return {"toObjectId": int(found), "associationTypes": told}


def invalid(kind: str, *ids: str) -> RefusalError:
    name = ONE[kind].upper()
    told = [f"{name}={record_id} is not valid" for record_id in ids]
    context = {"INVALID_OBJECT_IDS": told, "objectId": list(ids), "objectType": [name]}
    return RefusalError(400, "One or more associations are invalid", context=context)
