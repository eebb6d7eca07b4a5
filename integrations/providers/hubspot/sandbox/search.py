"""The search route: filters over an index that lags behind, and a ceiling of 10,000 results."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from integrations.providers.hubspot.sandbox.portal import RefusalError, limit_of, page_of
from integrations.providers.hubspot.sandbox.records import Records
from integrations.providers.hubspot.sandbox.schema import Definition, millis
from integrations.sandbox.http import Answer, Request, route

PAGE_LIMIT = 200
CEILING = 10_000
GROUPS, FILTERS, FILTERS_IN_ALL = 5, 6, 18

Test = Callable[[Mapping[str, str]], bool]
Comparable = Any

COMPARISONS: Mapping[str, Callable[[Comparable, Comparable], bool]] = {
    "EQ": operator.eq,
    "NEQ": operator.ne,
    "LT": operator.lt,
    "LTE": operator.le,
    "GT": operator.gt,
    "GTE": operator.ge,
}


class Search(Records):
    @route("POST", "/crm/v3/objects/{type_}/search")
    def search(self, request: Request, type_: str) -> Answer:
        kind, query = self.kind(type_), self.body(request)
        limit, start = limit_of(query.get("limit"), 10, PAGE_LIMIT), _offset(query.get("after"))
        if start + limit > CEILING:
            raise RefusalError(400, f"No results beyond the first {CEILING}: after={start}, limit={limit}")
        self.catch_up()
        test = _any_of(self._tests(kind, query.get("filterGroups") or []))
        hits = [found for found in self._candidates(kind, query) if test(found[1])]
        self._sort(kind, hits, query.get("sorts") or [])
        names = list(query.get("properties") or [])
        page = []
        for record_id, properties in hits[start : start + limit]:
            document = self.store.get(kind, record_id)
            if document is not None:
                page.append(self.show({**document, "archived": False}, names, properties))
        after = str(start + limit) if start + limit < len(hits) else None
        return Answer(200, {"total": len(hits), **page_of(page, after)})

    def _candidates(self, kind: str, query: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
        """All records, or those behind an id that every group asks to be exceeded."""
        floors = [
            max((int(each["value"]) for each in group.get("filters", []) if _is_floor(each)), default=0)
            for group in query.get("filterGroups") or [{}]
        ]
        index = self.indexed[kind]
        return [(found, index[found]) for found in self.after_id(kind, min(floors, default=0)) if found in index]

    def _tests(self, kind: str, groups: list[dict[str, Any]]) -> list[Test]:
        filters = [group.get("filters") or [] for group in groups]
        if (
            len(groups) > GROUPS
            or sum(map(len, filters)) > FILTERS_IN_ALL
            or any(len(each) > FILTERS for each in filters)
        ):
            raise RefusalError(400, f"At most {GROUPS} filterGroups of {FILTERS} filters, {FILTERS_IN_ALL} in all")
        return [_all_of([self._test(kind, each) for each in group]) for group in filters]

    def _test(self, kind: str, asked: Mapping[str, Any]) -> Test:
        name, verb = str(asked.get("propertyName")), str(asked.get("operator"))
        definition = self.definitions(kind).get(name)
        if definition is None:
            detail = {"code": "PROPERTY_DOESNT_EXIST", "context": {"propertyName": [name]}}
            raise RefusalError(400, f"There was a problem with the request: property {name}", errors=[detail])
        if verb in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
            return lambda properties: (name in properties) == (verb == "HAS_PROPERTY")
        comparable = _comparison_of(definition)
        if verb in {"IN", "NOT_IN"}:
            values = [comparable(str(value)) for value in asked.get("values", [])]
            return lambda properties: (comparable(properties.get(name, "")) in values) == (verb == "IN")
        compare = COMPARISONS.get(verb)
        if compare is None:
            raise RefusalError(400, f"Invalid operator: {verb}")
        value = comparable(str(asked.get("value")))
        return lambda properties: name in properties and compare(comparable(properties[name]), value)

    def _sort(self, kind: str, hits: list[tuple[str, Mapping[str, str]]], sorts: list[Any]) -> None:
        if len(sorts) > 1:
            raise RefusalError(400, "Only one sort is allowed")
        for sort in sorts:
            name = sort.get("propertyName", "")
            if name != "hs_object_id":
                comparable = _comparison_of(self.definitions(kind)[name])
                hits.sort(key=lambda hit: (name in hit[1], comparable(hit[1].get(name, ""))))
            if sort.get("direction") == "DESCENDING":
                hits.reverse()


def _is_floor(asked: Mapping[str, Any]) -> bool:
    by_id = asked.get("propertyName") == "hs_object_id" and asked.get("operator") == "GT"
    return by_id and str(asked.get("value")).isdigit()


def _any_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda properties: not tests or any(test(properties) for test in tests)


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 2:
        one, other = tests
        return lambda properties: one(properties) and other(properties)
    return lambda properties: all(test(properties) for test in tests)


def _comparison_of(definition: Definition) -> Callable[[str], Comparable]:
    """Numbers and times by size, choices to the letter, other text without case."""
    if definition["type"] == "number":
        return lambda text: float(text or 0)
    if definition["type"] in {"date", "datetime"}:
        return lambda text: millis(text) or 0
    return str if definition["type"] == "enumeration" else str.lower


def _offset(after: Any) -> int:
    if not str(after or "0").isdigit():
        raise RefusalError(400, f"Invalid after: {after!r}")
    return int(after or 0)
