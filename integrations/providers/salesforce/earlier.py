"""Finds what an earlier try may have written: by our key where a field holds it, else an activity by the marker in its text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.batches import chunks
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.marking import marker_of

KEYS_AT_ONCE = 100
Rows = Callable[[str], Iterator[Mapping[str, Any]]]


def by_key(
    rows: Rows, object_type: str, names: Sequence[str], keys: Sequence[str], since: datetime | None = None
) -> dict[str, str]:
    """Key → id. The account may have got the better one of the fields in between: all of them are asked for."""
    found: dict[str, str] = {}
    for some in chunks(keys, KEYS_AT_ONCE):
        either = " OR ".join(soql.among(name, some) for name in names)
        where = [f"({either})", *([f"CreatedDate >= {soql.moment(since)}"] if since else [])]
        for row in rows(soql.select(["Id", *names], object_type, where, ["CreatedDate", "Id"])):
            for key in {str(row.get(name) or "") for name in names} & set(some):
                found.setdefault(key, to_18(str(row["Id"])))
    return found


def by_marker(
    rows: Rows, object_type: str, people: Iterable[str], keys: Sequence[str], since: datetime
) -> dict[str, str]:
    """Key → id, among the activities of these people. A description can't be asked for, only read."""
    markers = {marker_of(key): key for key in keys}
    found: dict[str, str] = {}
    for some in chunks(sorted({one for one in people if is_id(one)}), KEYS_AT_ONCE):
        where = [soql.among("WhoId", some), f"CreatedDate >= {soql.moment(since)}"]
        for row in rows(soql.select(["Id", "Description"], object_type, where, ["CreatedDate", "Id"])):
            text = str(row.get("Description") or "")
            for key in (key for marker, key in markers.items() if marker in text):
                found.setdefault(key, to_18(str(row["Id"])))
    return found
