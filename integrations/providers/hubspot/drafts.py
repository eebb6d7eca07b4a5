"""What is to be written, in HubSpot's own words, and in what order: no request may name one record twice."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integrations import errors
from integrations.providers.hubspot.batches import Result
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.schema import Schema, is_writable
from integrations.providers.hubspot.values import property_text
from integrations.records.remote import RecordWrite

log = logging.getLogger(__name__)

NO_ID = "{} is no id of a HubSpot record. Link the record again."


@dataclass(frozen=True, slots=True)
class Draft:
    """One record to write. An empty `id` creates it, an empty value clears a property."""

    key: str
    id: str
    properties: Mapping[str, str]
    first_attempt_at: datetime | None = None
    unmodified_since: datetime | None = None
    left_out: tuple[str, ...] = ()
    """Properties that HubSpot has not, or fills in itself."""

    def at(self, record_id: str) -> "Draft":
        return replace(self, id=record_id)


class Drafter:
    def __init__(self, schema: Schema, owners: Owners) -> None:
        self._schema = schema
        self._owners = owners

    def draft(self, object_type: str, writes: Iterable[RecordWrite]) -> tuple[dict[str, Draft], dict[str, Result]]:
        """The drafts by key, and the errors of those that can't be written as they are."""
        drafts: dict[str, Draft] = {}
        failed: dict[str, Result] = {}
        for write in writes:
            if write.record_id and not write.record_id.isdigit():
                # HubSpot would pass over it without a word.
                failed[write.key] = errors.FixData(NO_ID.format(write.record_id))
                continue
            try:
                drafts[write.key] = self._draft(object_type, write)
            except (errors.FixData, errors.FixConfig) as error:
                failed[write.key] = error
        return drafts, failed

    def _draft(self, object_type: str, write: RecordWrite) -> Draft:
        """A credential that may not see the schema sends everything."""
        known = self._schema.known(object_type)
        lost = [name for name in write.values if known and (name not in known or not is_writable(known[name]))]
        if lost:
            log.warning("HubSpot's %s have no writable property %s: left out. Mend the mapping.", object_type, lost)
        kept = {
            name: property_text(name, value, known.get(name, {}), self._owners)
            for name, value in write.values.items()
            if name not in lost
        }
        return Draft(
            write.key, write.record_id, kept, write.first_attempt_at, write.unmodified_since, tuple(sorted(lost))
        )


def rounds(object_type: str, writes: Sequence[RecordWrite]) -> list[list[RecordWrite]]:
    """The writes in groups without two of one record; those of one record stay in order.

    New contacts with one address are one record, too: the second meets the first.
    """
    groups: list[tuple[set[str], list[RecordWrite]]] = []
    for write in writes:
        names = _identities(object_type, write)
        place = next((group for group in groups if not group[0] & names), None)
        if place is None:
            place = (set(), [])
            groups.append(place)
        place[0].update(names)
        place[1].append(write)
    return [group for _, group in groups]


def _identities(object_type: str, write: RecordWrite) -> set[str]:
    if write.record_id:
        return {f"id {write.record_id}"}
    address = str(write.values.get("email") or "").strip().lower() if object_type == "contacts" else ""
    return {f"key {write.key}", *([f"email {address}"] if address else [])}
