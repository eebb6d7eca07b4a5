"""HubSpot's records in our shape, with owners by their e-mail addresses."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.schema import Schema, modified_property
from integrations.records.remote import RemoteRecord

RecordUrl = Callable[[str, str], str]

STANDARD: Mapping[str, frozenset[str]] = {
    "contacts": frozenset(
        (
            "firstname",
            "lastname",
            "email",
            "phone",
            "mobilephone",
            "company",
            "jobtitle",
            "hs_lead_status",
            "lifecyclestage",
        )
    ),
}
"""Properties that no account can do without. Any other that an answer leaves out may not exist, which is not the same as empty."""


class Shaper:
    def __init__(self, owners: Owners, schema: Schema, record_url: RecordUrl) -> None:
        self._owners = owners
        self._schema = schema
        self._record_url = record_url

    def records(self, object_type: str, page: Sequence[dict[str, Any]], names: Sequence[str]) -> list[RemoteRecord]:
        owned = self._schema.owner_properties(object_type, names)
        asked = STANDARD.get(object_type, frozenset()) & set(names)
        ids = {str(raw["properties"][name]) for raw in page for name in owned if raw["properties"].get(name)}
        emails = self._owners.emails(ids) if ids else {}
        return [self._record(object_type, raw, owned, emails, asked) for raw in page]

    def _record(
        self,
        object_type: str,
        raw: dict[str, Any],
        owned: frozenset[str],
        emails: Mapping[str, str] | None,
        asked: Collection[str],
    ) -> RemoteRecord:
        """`asked` are properties that every account has: one that an answer leaves out is empty."""
        fields = dict(raw.get("properties") or {})
        fields.update((name, None) for name in asked if name not in fields)
        for name in owned & fields.keys():
            if emails is None:
                del fields[name]  # unknown is not the same as nobody
            else:
                fields[name] = emails.get(str(fields[name]))
        record_id = str(raw["id"])
        return RemoteRecord(
            object_type=object_type,
            id=record_id,
            fields=fields,
            modified_at=stamp_of(fields.get(modified_property(object_type)) or raw.get("updatedAt")),
            url=raw.get("url") or self._record_url(object_type, record_id),
            raw=raw,
            deleted=bool(raw.get("archived")),
        )


def property_names(object_type: str, paths: Sequence[str]) -> list[str]:
    """The properties that mapping paths speak of, and the one that we need ourselves. `a || b` speaks of two."""
    names = (re.match(r'\s*"?([A-Za-z0-9_]+)', part) for path_ in paths for part in path_.split("||"))
    return sorted({match[1] for match in names if match} | {modified_property(object_type)})


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def stamp_of(value: object) -> datetime:
    """ISO 8601 or epoch milliseconds, as an aware UTC time; the epoch for a record without a stamp."""
    text = str(value or "0")
    if text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


def millis_of(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
