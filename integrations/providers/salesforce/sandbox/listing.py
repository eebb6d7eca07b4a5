"""Query answers page by page: short pages for wide rows, and a locator that is forgotten after two days."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.query import Run
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request

PAGE, SMALLEST_PAGE = 2_000, 200
WIDE = 12
"""Rows with more columns than this come 200 at a time, whatever was asked for."""
LOCATOR_SECONDS = 2 * 86_400
MAX_URI = 16_384


@dataclass(slots=True)
class Result:
    """A query's ids, kept until its locator expires; the rows are read again for each page."""

    run: Run
    ids: list[str]
    version: str
    size: int
    at: float
    name: str = ""


class Listing:
    def __init__(self, org: Org, faults: Faults) -> None:
        self._org = org
        self._faults = faults
        self._kept: dict[str, Result] = {}

    def first(self, request: Request, user_id: str, *, tooling: bool = False, deleted: bool = False) -> Answer:
        text = request.arg("q")
        if len(request.path) + len(quote(text)) > MAX_URI:
            return Answer(414, "<html><body>Bad Message 414</body></html>", {"Content-Type": "text/html"})
        run = Run(self._org, user_id, text, tooling=tooling, deleted=deleted)
        version = request.path.split("/")[3]
        return self._page(Result(run, run.ids(), version, _size(request, run), self._org.clock.timestamp()), 0)

    def more(self, request: Request, locator: str) -> Answer:
        name, _, place = locator.partition("-")
        result = self._kept.get(name)
        lost = self._faults.draw(request.method, request.path, "lose_locators") is not None
        if result is None or lost or not place.isdigit() or self._expired(result):
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(result, int(place))

    def _expired(self, result: Result) -> bool:
        return self._org.clock.timestamp() - result.at > LOCATOR_SECONDS

    def _page(self, result: Result, start: int) -> Answer:
        end = start + result.size
        body: dict[str, Any] = {
            "totalSize": len(result.ids),
            "done": end >= len(result.ids),
            "records": result.run.render(result.ids[start:end], result.version),
        }
        if not body["done"]:
            body["nextRecordsUrl"] = f"/services/data/{result.version}/query/{self._keep(result)}-{end}"
        return Answer(200, body)

    def _keep(self, result: Result) -> str:
        if not result.name:
            result.name = to_18(f"01gHs{len(self._kept):010d}")
            self._kept[result.name] = result
        return result.name


def _size(request: Request, run: Run) -> int:
    if len(run.query.fields) > WIDE:
        return SMALLEST_PAGE
    wish = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
    return min(PAGE, max(SMALLEST_PAGE, int(wish.group(1)))) if wish else PAGE
