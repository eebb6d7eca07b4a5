"""Where a record lives on: a converted lead in its contact, the loser of a merge in the winner."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.schema import Schemas

FIELDS = ("ConvertedContactId", "MasterRecordId")
Heir = tuple[str, str]
"""(object type, id)"""
Rows = Callable[[str], Iterator[Mapping[str, Any]]]


def heir_of(object_type: str, row: Mapping[str, Any]) -> Heir | None:
    """What a row says of its own afterlife; it has to hold `FIELDS`, as far as there are some."""
    if row.get("ConvertedContactId"):
        return "Contact", to_18(str(row["ConvertedContactId"]))
    if row.get("MasterRecordId"):
        return object_type, to_18(str(row["MasterRecordId"]))
    return None


def heirs(rows: Rows, schemas: Schemas, object_type: str, ids: Sequence[str]) -> dict[str, Heir]:
    """Heirs of these records by their long ids, for those that have one. `rows` runs a query, the recycle bin included."""
    fields = schemas.get(object_type).known(["Id", *FIELDS])
    wanted = sorted({to_18(one) for one in ids if is_id(one)})
    found: dict[str, Heir] = {}
    for query in soql.queries(lambda some: soql.select(fields, object_type, [soql.among_ids(some)]), wanted):
        for row in rows(query):
            heir = heir_of(object_type, row)
            if heir is not None:
                found[to_18(str(row["Id"]))] = heir
    return found
