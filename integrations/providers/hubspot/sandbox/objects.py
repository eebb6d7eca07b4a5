"""Routes for single records and lists of them."""

import base64
from typing import Any

from integrations.providers.hubspot.sandbox.link_batches import LinkBatches
from integrations.providers.hubspot.sandbox.links import ONE
from integrations.providers.hubspot.sandbox.portal import RefusalError, limit_of, page_of
from integrations.providers.hubspot.sandbox.records import BY_CALCULATION
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

LIST_LIMIT = 100
MERGED = "hs_merged_object_ids"


class Objects(LinkBatches):
    @route("GET", "/crm/v3/objects/{type_}")
    def list_records(self, request: Request, type_: str) -> Answer:
        kind = self.kind(type_)
        limit = limit_of(request.arg("limit"), 10, LIST_LIMIT)
        archived = request.arg("archived") == "true"
        page: list[dict[str, Any]] = []
        for record_id in self.after_id(kind, _opened(request.arg("after"))):
            document = self.find(kind, record_id, archived=archived)
            if document is None:
                continue
            if len(page) == limit:
                return Answer(200, page_of(page, _sealed(page[-1]["id"])))
            page.append(self._show_with_links(request, document))
        return Answer(200, page_of(page, None))

    @route("POST", "/crm/v3/objects/{type_}")
    def create_record(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        links = self.inline_links(kind, body)
        document = self.create(kind, self.check(kind, body.get("properties"), new=True))
        return Answer(201, self.show(self.tie(document, links), list(document["properties"])))

    @route("GET", "/crm/v3/objects/{type_}/{record_id}")
    def read_record(self, request: Request, type_: str, record_id: str) -> Answer:
        kind = self.kind(type_)
        archived = request.arg("archived") == "true"
        found = self.find(kind, self.winner(kind, record_id), request.arg("idProperty"), archived=archived)
        if found is None:
            raise self.missing(kind, record_id)
        return Answer(200, self._show_with_links(request, found))

    @route("PATCH", "/crm/v3/objects/{type_}/{record_id}")
    def update_record(self, request: Request, type_: str, record_id: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        found = self.find(kind, self.winner(kind, record_id), request.arg("idProperty"))
        if found is None:
            raise self.missing(kind, record_id)
        values = self.check(kind, body.get("properties"), new=False, own_id=found["id"])
        return Answer(200, self.show(self.change(found, values), list(values)))

    @route("DELETE", "/crm/v3/objects/{type_}/{record_id}")
    def archive_record(self, _: Request, type_: str, record_id: str) -> Answer:
        found = self.find(self.kind(type_), record_id)
        if found is not None:
            self.archive(found)
        return Answer(204)

    @route("POST", "/crm/v3/objects/{type_}/gdpr-delete")
    def erase_record(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        found = self.find(kind, str(body.get("objectId")), str(body.get("idProperty") or ""))
        if found is not None:
            self.erase(found)
        return Answer(204)

    @route("POST", "/crm/v3/objects/{type_}/merge")
    def merge_records(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        winner = self.find(kind, str(body.get("primaryObjectId")))
        loser = self.find(kind, str(body.get("objectIdToMerge")))
        if winner is None or loser is None or winner is loser:
            raise RefusalError(400, f"primaryObjectId and objectIdToMerge must be two {kind} that exist")
        if self.faults.draw(request.method, request.path, "merge_makes_new"):
            return Answer(200, self.show(self._merge_into_new(winner, loser), []))
        merged = self._absorb(winner, loser)
        self.tell(kind, [merged["id"], loser["id"]], "merge", {})
        return Answer(200, self.show(merged, []))

    def _merge_into_new(self, winner: Document, loser: Document) -> Document:
        kind = winner["kind"]
        with self.by(""):
            merged = self._absorb(self._absorb(self.create(kind, {}), winner), loser)
        self.tell(kind, [merged["id"], winner["id"], loser["id"]], "merge", {})
        return merged

    def _absorb(self, winner: Document, loser: Document) -> Document:
        """The winner's values stay, the loser's fill its gaps; the loser's address goes on to mean the winner."""
        kind, lost = winner["kind"], loser["properties"]
        with self.by(""):
            self.change(loser, {}, merged_into=winner["id"])
            self.relink(kind, loser["id"], winner["id"])
        held = winner["properties"]
        blank = {name: value for name, value in lost.items() if name not in held and name in self.definitions(kind)}
        blank[MERGED] = ";".join(filter(None, [held.get(MERGED), loser["id"], lost.get(MERGED)]))
        if kind == "contacts" and lost.get("email") and held.get("email"):
            known = [held.get("hs_additional_emails"), lost.get("hs_additional_emails"), lost["email"]]
            blank["hs_additional_emails"] = ";".join(filter(None, known))
        with self.by(BY_CALCULATION if self.source else ""):
            return self.change(winner, blank)

    def _show_with_links(self, request: Request, document: Document) -> dict[str, Any]:
        kind, tied = document["kind"], {}
        for other in filter(None, request.arg("associations").split(",")):
            linked = self.linked(kind, document["id"], self.kind(other))
            name = f"{ONE[kind]}_to_{ONE[self.kind(other)]}"
            if linked:
                tied[self.kind(other)] = {"results": [{"id": found, "type": name} for found in linked]}
        return {**self.show(document, names_of(request)), **({"associations": tied} if tied else {})}


def names_of(request: Request) -> list[str]:
    return [name for value in request.query.get("properties", []) for name in value.split(",") if name]


def _sealed(record_id: str) -> str:
    return base64.urlsafe_b64encode(record_id.encode()).decode()


def _opened(after: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(after.encode()) or 0)
    except ValueError as error:
        raise RefusalError(400, f"Invalid paging cursor: {after!r}") from error


def trace_of(item: Any) -> str:
    return str(item.get("objectWriteTraceId") or "")
