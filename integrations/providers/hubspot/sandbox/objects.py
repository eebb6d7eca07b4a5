"""Routes for single records and lists of them."""

import base64
from typing import Any

from integrations.providers.hubspot.sandbox.links import Links
from integrations.providers.hubspot.sandbox.portal import RefusalError, limit_of, page_of
from integrations.sandbox.http import Answer, Request, route

LIST_LIMIT = 100


class Objects(Links):
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
            page.append(self.show(document, names_of(request)))
        return Answer(200, page_of(page, None))

    @route("POST", "/crm/v3/objects/{type_}")
    def create_record(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        contacts = self.inline_contacts(kind, body)
        document = self.create(kind, self.check(kind, body.get("properties"), new=True))
        document = self.tie(document, contacts)
        return Answer(201, self.show(document, list(document["properties"])))

    @route("GET", "/crm/v3/objects/{type_}/{record_id}")
    def read_record(self, request: Request, type_: str, record_id: str) -> Answer:
        kind = self.kind(type_)
        archived = request.arg("archived") == "true"
        found = self.find(kind, self.winner(kind, record_id), request.arg("idProperty"), archived=archived)
        if found is None:
            raise self.missing(kind, record_id)
        return Answer(200, self.show(found, names_of(request)))

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
        kind = self.kind(type_)
        found = self.find(kind, record_id)
        if found is not None:
            self.change(found, {}, archived=True, archivedAt=self.stamp())
        return Answer(204)

    @route("POST", "/crm/v3/objects/contacts/merge")
    def merge_contacts(self, request: Request) -> Answer:
        body = self.body(request)
        winner = self.find("contacts", str(body.get("primaryObjectId")))
        loser = self.find("contacts", str(body.get("objectIdToMerge")))
        if winner is None or loser is None or winner is loser:
            raise RefusalError(400, "primaryObjectId and objectIdToMerge must be two contacts that exist")
        self.change(loser, {}, merged_into=winner["id"])
        for call_id in list(self.calls_of.pop(loser["id"], {})):
            self.retie(call_id, loser["id"], winner["id"])
        losers = ";".join(filter(None, [winner["properties"].get("hs_merged_object_ids"), loser["id"]]))
        blank = {name: value for name, value in loser["properties"].items() if name not in winner["properties"]}
        merged = self.change(winner, {**blank, "hs_merged_object_ids": losers})
        return Answer(200, self.show(merged, []))


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
