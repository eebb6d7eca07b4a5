"""Routes for batches of records: 100 at most, taken in parts only if every input has a trace id."""

from collections import Counter
from typing import Any

from integrations.providers.hubspot.sandbox.objects import Objects, trace_of
from integrations.providers.hubspot.sandbox.portal import RefusalError
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

BATCH_LIMIT = 100


class Batches(Objects):
    @route("POST", "/crm/v3/objects/{type_}/batch/read")
    def read_batch(self, request: Request, type_: str) -> Answer:
        kind, body = self.kind(type_), self.body(request)
        archived = request.arg("archived") == "true"
        found, absent = [], []
        for item in _inputs(body):
            document = self.find(kind, str(item["id"]), body.get("idProperty") or "", archived=archived)
            if document is None:
                absent.append(str(item["id"]))
            else:
                found.append(self.show(document, list(body.get("properties") or [])))
        problems = [_entry(self.missing(kind, *absent))] if absent else []
        return self._answer(200, found, problems)

    @route("POST", "/crm/v3/objects/{type_}/batch/create")
    def create_batch(self, request: Request, type_: str) -> Answer:
        return self._write(request, self.kind(type_), "create")

    @route("POST", "/crm/v3/objects/{type_}/batch/update")
    def update_batch(self, request: Request, type_: str) -> Answer:
        return self._write(request, self.kind(type_), "update")

    @route("POST", "/crm/v3/objects/{type_}/batch/upsert")
    def upsert_batch(self, request: Request, type_: str) -> Answer:
        return self._write(request, self.kind(type_), "upsert")

    @route("POST", "/crm/v3/objects/{type_}/batch/archive")
    def archive_batch(self, request: Request, type_: str) -> Answer:
        kind = self.kind(type_)
        for item in _inputs(self.body(request)):
            found = self.find(kind, str(item["id"]))
            if found is not None:
                self.archive(found)
        return Answer(204)

    def _write(self, request: Request, kind: str, action: str) -> Answer:
        inputs = _inputs(self.body(request))
        self._check_batch(kind, action, inputs)
        fault = self.faults.draw(request.method, request.path, "no_partial")
        by_email = any(item.get("idProperty") == "email" for item in inputs)
        if fault or by_email or not all(trace_of(item) for item in inputs):
            for item in inputs:
                if action != "update" or str(item["id"]).isdigit():
                    self._prepare(kind, action, item)  # one bad input refuses all of them
        results, problems = [], []
        untraced = self.faults.draw(request.method, request.path, "untraced") is not None
        for item in inputs:
            if action == "update" and not item.get("idProperty") and not str(item["id"]).isdigit():
                continue  # an address instead of a number is passed over without a word
            try:
                results.append(self._apply(kind, action, item))
            except RefusalError as refusal:
                problems.append(_entry(refusal, "" if untraced else trace_of(item)))
        return self._answer(201 if action == "create" else 200, results, problems)

    def _check_batch(self, kind: str, action: str, inputs: list[Any]) -> None:
        """What refuses a batch whatever its trace ids."""
        traces = Counter(filter(None, map(trace_of, inputs)))
        if any(count > 1 for count in traces.values()):
            raise RefusalError(400, "objectWriteTraceId must be unique within a batch")
        if action == "update" and any(item.get("idProperty") == "hs_object_id" for item in inputs):
            raise RefusalError(400, "Property 'hs_object_id' is a non-unique property and cannot be used as idProperty")
        if action != "upsert":
            return
        if any(not item.get("idProperty") for item in inputs):
            raise RefusalError(400, "idProperty is required for upsert")
        for item in inputs:
            self.find(kind, str(item["id"]), item["idProperty"])
        if len({str(item["id"]).lower() for item in inputs}) < len(inputs):
            raise RefusalError(400, "Duplicate IDs found in batch input: each record may be written once")

    def _prepare(self, kind: str, action: str, item: Any) -> tuple[Document | None, dict[str, str], list[Any]]:
        """The record to change, if there is one, and what to write. Raises what HubSpot would refuse."""
        found = None
        if action != "create":
            found = self.find(kind, str(item["id"]), item.get("idProperty") or "")
        if action == "update" and found is None:
            raise self.missing(kind, str(item["id"]))
        values = dict(item.get("properties") or {})
        if action == "upsert":
            values = {item["idProperty"]: item["id"], **values}
        cleaned = self.check(kind, values, new=found is None, own_id=found["id"] if found else "")
        return found, cleaned, self.inline_links(kind, item) if action == "create" else []

    def _apply(self, kind: str, action: str, item: Any) -> dict[str, Any]:
        found, cleaned, links = self._prepare(kind, action, item)
        document = self.tie(self.create(kind, cleaned), links) if found is None else self.change(found, cleaned)
        shown = self.show(document, list(cleaned))
        return {**shown, "new": found is None} if action == "upsert" else shown

    def _answer(self, status: int, results: list[Any], problems: list[Any]) -> Answer:
        body = {
            "status": "COMPLETE",
            "results": results[::-1],  # the order of the answer is not the order of the question
            "startedAt": self.stamp(),
            "completedAt": self.stamp(),
        }
        if not problems:
            return Answer(status, body)
        return Answer(207, {**body, "numErrors": len(problems), "errors": problems})


def _inputs(body: dict[str, Any]) -> list[Any]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= BATCH_LIMIT:
        raise RefusalError(400, f"inputs must hold between 1 and {BATCH_LIMIT} records")
    return inputs


def _entry(refusal: RefusalError, trace: str = "") -> dict[str, Any]:
    """An error as it stands in the `errors` of a 207."""
    body = {key: value for key, value in refusal.body.items() if key != "correlationId"}
    return {**body, "context": {**body.get("context", {}), **({"objectWriteTraceId": [trace]} if trace else {})}}
