"""Finds the record that a creation would make a second time, where the account has no key field of ours."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from integrations.providers.salesforce import objects, soql
from integrations.providers.salesforce.drafts import Draft, by_type
from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.schema import ObjectSchema, Schemas

LONGEST = 255
"""A value that is longer can't be in a field that may be asked for."""
UNQUOTED = {"date", "datetime"}

Rows = Callable[[str], Iterator[Mapping[str, Any]]]


def find(rows: Rows, schemas: Schemas, drafts: Sequence[Draft]) -> None:
    """Gives each draft the id of the oldest record that has the same telling values, if there is one."""
    for object_type, some in by_type(drafts).items():
        schema = schemas.get(object_type)
        groups: dict[tuple[str, ...], list[Draft]] = defaultdict(list)
        for draft in some:
            telling = _telling(object_type, schema, draft)
            if telling:
                groups[telling].append(draft)
        for names, members in groups.items():
            _find(rows, schema, object_type, names, members)


def _telling(object_type: str, schema: ObjectSchema, draft: Draft) -> tuple[str, ...]:
    for names in objects.ALIKE.get(object_type, ()):
        if all(_is_telling(schema, name, draft.values.get(name)) for name in names):
            return names
    return ()


def _is_telling(schema: ObjectSchema, name: str, value: Any) -> bool:
    filterable = name in schema.fields and schema.fields[name].get("filterable", True)
    return bool(value) and isinstance(value, str) and len(value) <= LONGEST and filterable


def _find(rows: Rows, schema: ObjectSchema, object_type: str, names: tuple[str, ...], drafts: Sequence[Draft]) -> None:
    first, wanted = names[0], defaultdict[tuple[str, ...], list[Draft]](list)
    for draft in drafts:
        wanted[_same(draft.values, names)].append(draft)
    bare = schema.fields[first]["type"] in UNQUOTED
    alive = ["IsConverted = FALSE"] if "IsConverted" in schema.paths else []

    def alike(some: Sequence[str]) -> str:
        condition = soql.among_times(first, some) if bare else soql.among(first, some)
        return soql.select(["Id", *names], object_type, [condition, *alive], ["CreatedDate", "Id"])

    for query in soql.queries(alike, sorted({str(draft.values[first]) for draft in drafts})):
        for row in rows(query):
            for draft in wanted.pop(_same(row, names), ()):
                draft.id = to_18(str(row["Id"]))


def _same(values: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """Without regard to case; the service writes a moment's zone otherwise than we do."""
    texts = (str(values.get(name) or "").strip().lower() for name in names)
    return tuple(text.removesuffix("+0000") + "z" if text.endswith("+0000") else text for text in texts)
