"""Routes that tie, untie and list many pairs at once."""

from collections.abc import Callable
from typing import Any

from integrations.providers.hubspot.association_types import PRIMARY_IDS, TYPE_IDS
from integrations.providers.hubspot.sandbox.links import LABELS, Links, told_link
from integrations.providers.hubspot.sandbox.portal import RefusalError
from integrations.sandbox.http import Answer, Request, route

READ_LIMIT, WRITE_LIMIT = 1000, 2000
BATCH = "/crm/v4/associations/{type_}/{to_type}/batch"


class LinkBatches(Links):
    @route("POST", f"{BATCH}/associate/default")
    def link_batch_by_default(self, request: Request, type_: str, to_type: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        return self._each(200, self._inputs(request), lambda one: self.link(kind, *_ends(one, other)))

    @route("POST", f"{BATCH}/create")
    def link_batch(self, request: Request, type_: str, to_type: str) -> Answer:
        kind, other = self.pair(type_, to_type)

        def link(one: dict[str, Any]) -> dict[str, Any]:
            return self.link(kind, *_ends(one, other), self.types_of(kind, other, one.get("types")))

        return self._each(201, self._inputs(request), link)

    @route("POST", f"{BATCH}/archive")
    def unlink_batch(self, request: Request, type_: str, to_type: str) -> Answer:
        kind, other = self.pair(type_, to_type)
        for one in self._inputs(request):
            for to in one["to"]:
                self.unlink(kind, str(one["from"]["id"]), other, str(to["id"]))
        return Answer(204)

    @route("POST", f"{BATCH}/read")
    def read_links(self, request: Request, type_: str, to_type: str) -> Answer:
        kind, other = self.pair(type_, to_type)

        def read(one: dict[str, Any]) -> dict[str, Any]:
            if self.find(kind, str(one["id"])) is None:
                raise self.missing(kind, str(one["id"]))
            linked = self.linked(kind, str(one["id"]), other)
            return {"from": {"id": str(one["id"])}, "to": [told_link(*link) for link in linked.items()]}

        return self._each(200, self._inputs(request, READ_LIMIT), read)

    @route("GET", "/crm/v4/associations/{type_}/{to_type}/labels")
    def labels(self, _: Request, type_: str, to_type: str) -> Answer:
        pair = self.pair(type_, to_type)
        numbers = [TYPE_IDS[pair], *([PRIMARY_IDS[pair]] if pair in PRIMARY_IDS else [])]
        told = [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": LABELS[number]} for number in numbers]
        return Answer(200, {"results": told})

    def _inputs(self, request: Request, limit: int = WRITE_LIMIT) -> list[Any]:
        inputs = self.body(request).get("inputs") or []
        if not 1 <= len(inputs) <= limit:
            raise RefusalError(400, f"inputs must hold between 1 and {limit} entries")
        return list(inputs)

    def _each(self, status: int, inputs: list[Any], work: Callable[[Any], dict[str, Any]]) -> Answer:
        results: list[dict[str, Any]] = []
        problems: list[dict[str, Any]] = []
        for one in inputs:
            try:
                results.append(work(one))
            except RefusalError as refusal:
                problems.append(refusal.body)
        failed = {"numErrors": len(problems), "errors": problems} if problems else {}
        return Answer(207 if problems else status, {"status": "COMPLETE", "results": results, **failed})


def _ends(one: dict[str, Any], other: str) -> tuple[str, str, str]:
    return str(one["from"]["id"]), other, str(one["to"]["id"])
