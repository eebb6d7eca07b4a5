"""Runs a parsed query over the organisation's records, as the connected user may see them."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox.objects import TOOLING, Field
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.soql import Comparison, Condition, Group, Literal, Query, parse
from integrations.sandbox.store import Document

Test = Callable[[Document], bool]
_WANTED: dict[str, str] = {
    "datetime": "moment",
    "date": "date",
    "boolean": "boolean",
    "int": "number",
    "double": "number",
    "currency": "number",
    "percent": "number",
}
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_WORDS = {"moment": "dateTime", "date": "date", "boolean": "boolean", "number": "number", "text": "string"}


class Run:
    """One query of one user. `ids` finds, `render` shows; a query locator keeps the first and repeats the second."""

    def __init__(self, org: Org, user_id: str, text: str, *, tooling: bool = False, deleted: bool = False) -> None:
        self._org = org
        self._user_id = user_id
        self._deleted = deleted
        self._seen: dict[str, dict[str, Field]] = {}
        self.query: Query = parse(text)
        self.source = self._source(tooling)
        for path in self.query.fields:
            self._field(path)

    def ids(self) -> list[str]:
        query = self.query
        candidates = self._candidates(query.where) if query.where else None
        test = self._test(query.where) if query.where else None
        rows = [row for row in self._rows(candidates) if self._alive(row) and (test is None or test(row))]
        for path, descending in reversed(query.order):
            rows.sort(key=self._sort_key(path), reverse=descending)
        return [row["Id"] for row in rows[: query.limit]]

    def render(self, ids: Iterable[str], version: str) -> list[dict[str, Any]]:
        """The records as they are now; those that are gone since are left out, so a page can be short."""
        rows = (self._org.store.get(self.source, record_id) for record_id in ids)
        return [self._render(row, version) for row in rows if row is not None and self._alive(row)]

    def _source(self, tooling: bool) -> str:
        for name in TOOLING if tooling else self._org.object_types():
            if name.lower() == self.query.source.lower() and (tooling or self._org.may("read", name, self._user_id)):
                return name
        raise Refused("INVALID_TYPE", f"sObject type '{self.query.source}' is not supported.")

    def _alive(self, row: Document) -> bool:
        return self._deleted or not row.get("IsDeleted")

    def _rows(self, candidates: list[str] | None) -> Iterable[Document]:
        if candidates is None:
            return self._org.store.all(self.source)
        found = (self._org.store.get(self.source, record_id) for record_id in candidates)
        return [row for row in found if row is not None]

    # --- fields -------------------------------------------------------------------------------------------------------

    def _visible(self, object_type: str) -> dict[str, Field]:
        if object_type not in self._seen:
            fields = self._org.visible(object_type, self._user_id)
            self._seen[object_type] = {name.lower(): field for name, field in fields.items()}
        return self._seen[object_type]

    def _relation(self, object_type: str, relation: str) -> Field:
        for field in self._visible(object_type).values():
            if field.relation.lower() == relation.lower():
                return field
        message = f"Didn't understand relationship '{relation}' in field path."
        raise Refused("INVALID_FIELD", message)

    def _field(self, path: str) -> Field:
        object_type, *relations = self.source, *path.split(".")[:-1]
        for relation in relations:
            object_type = self._relation(object_type, relation).refers[0]
        found = self._visible(object_type).get(path.rsplit(".", 1)[-1].lower())
        if found is None:
            name = path.rsplit(".", 1)[-1]
            raise Refused(
                "INVALID_FIELD",
                f"No such column '{name}' on entity '{object_type}'. If you are attempting to use a custom field, "
                "be sure to append the '__c' after the custom field name.",
            )
        return found

    def _value(self, row: Document | None, path: str) -> Any:
        object_type = self.source
        *relations, name = path.split(".")
        for relation in relations:
            field = self._relation(object_type, relation)
            target = row.get(field.name) if row else None
            row = self._org.get(target) if target else None
            object_type = field.refers[0]
        return row.get(self._visible(object_type)[name.lower()].name) if row else None

    def _render(self, row: Document, version: str) -> dict[str, Any]:
        shown = _attributes(self.source, row["Id"], version)
        for path in self.query.fields:
            first, _, rest = path.partition(".")
            if not rest:
                field = self._field(path)
                shown[field.name] = row.get(field.name, field.default if field.type == "boolean" else None)
                continue
            lookup = self._relation(self.source, first)
            target = self._org.get(row.get(lookup.name) or "")
            if target is None:
                shown[lookup.relation] = None
                continue
            parent = shown.setdefault(lookup.relation, _attributes(lookup.refers[0], target["Id"], version))
            parent[self._field(path).name] = self._value(row, path)
        return shown

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _test(self, condition: Condition) -> Test:
        if isinstance(condition, Group):
            tests = [self._test(part) for part in condition.parts]
            every = all if condition.word == "AND" else any
            return lambda row: every(test(row) for test in tests)
        return self._compare(condition)

    def _compare(self, comparison: Comparison) -> Test:
        field = self._field(comparison.path)
        if not field.filterable:
            raise Refused("INVALID_FIELD", f"field '{field.name}' can not be filtered in a query call")
        wanted = [_operand(field, literal) for literal in comparison.values]
        one = wanted[0]
        value_of = self._comparable_of(comparison.path)
        if comparison.sign in {"=", "IN"}:
            return lambda row: value_of(row) in wanted
        if comparison.sign == "!=":
            return lambda row: bool(value_of(row) != one)
        order = _ORDERS[comparison.sign]
        return lambda row: (value := value_of(row)) is not None and one is not None and bool(order(value, one))

    def _comparable_of(self, path: str) -> Callable[[Document], Any]:
        field, normal = self._field(path), _normalizer(self._field(path))
        if "." in path:
            return lambda row: normal(self._value(row, path))
        return lambda row: normal(row.get(field.name))

    def _sort_key(self, path: str) -> Callable[[Document], tuple[bool, Any]]:
        value_of = self._comparable_of(path)
        return lambda row: ((value := value_of(row)) is not None, value)

    def _candidates(self, condition: Condition) -> list[str] | None:
        """Ids that an index finds, a superset of the answer; None when only reading everything will do."""
        if isinstance(condition, Comparison):
            return self._indexed(condition)
        found = [self._candidates(part) for part in condition.parts]
        known = [ids for ids in found if ids is not None]
        if condition.word == "AND":
            return min(known, key=len) if known else None
        return (
            list(dict.fromkeys(record_id for ids in known for record_id in ids)) if len(known) == len(found) else None
        )

    def _indexed(self, comparison: Comparison) -> list[str] | None:
        if comparison.sign not in {"=", "IN"} or any(literal.kind != "text" for literal in comparison.values):
            return None
        values = [str(literal.value) for literal in comparison.values]
        if comparison.path == "Id":
            return [to_18(value) for value in dict.fromkeys(values) if is_id(value)]
        if not self._org.indexed(self.source, comparison.path):
            return None
        return [found for value in values for found in self._org.with_value(self.source, comparison.path, value)]


def _attributes(object_type: str, record_id: str, version: str) -> dict[str, Any]:
    url = f"/services/data/{version}/sobjects/{object_type}/{record_id}"
    return {"attributes": {"type": object_type, "url": url}}


def _operand(field: Field, literal: Literal) -> Any:
    if literal.kind == "null":
        return None
    wanted = _WANTED.get(field.type, "text")
    if literal.kind != wanted:
        quotes = "should be" if wanted == "text" else "should not be"
        raise Refused(
            "INVALID_FIELD",
            f"value of filter criterion for field '{field.name}' must be of type {_WORDS[wanted]} and {quotes} "
            "enclosed in quotes",
        )
    if field.type in {"id", "reference"} and not is_id(literal.value):
        raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {literal.value}")
    return _normalizer(field)(literal.value)


def _normalizer(field: Field) -> Callable[[Any], Any]:
    """Texts compare without regard to case; ids don't, once they are 18 long."""
    if field.type in {"id", "reference"}:
        return lambda value: to_18(value) if value else None
    if field.type == "boolean":
        return lambda value: bool(field.default) if value is None else value
    if _WANTED.get(field.type, "text") == "text":
        return lambda value: value.lower() if value else None
    return lambda value: value
