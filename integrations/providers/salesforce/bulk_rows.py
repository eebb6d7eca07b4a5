"""Makes lines for bulk jobs of writes and deletions: which operation, found again by which field, with which cells.

A record that can't go up at all is noted with its error, for the ticket, and stops nobody.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from integrations import errors
from integrations.providers.salesforce import objects, task
from integrations.providers.salesforce.bulk_sheets import DELETE, INSERT, UPDATE, UPSERT, Row
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.schema import Schemas
from integrations.providers.salesforce.shaping import Shaper, addresses
from integrations.providers.salesforce.users import Users
from integrations.records.connections import Connection
from integrations.records.remote import RecordWrite

MAX_CELL = 32_000  # characters
# Standard fields that can hold our key where the account has no external id of ours. They are no keys for upserts.
STANDARD_KEYS: Mapping[str, str] = {task.OBJECT: task.FALLBACK_KEY_FIELD}
_KINDS = {kind.__name__: kind for kind in (errors.FixData, errors.FixConfig, errors.Gone, errors.Stale)}

Refusals = list[list[Any]]
"""[key, kind of error, message, detail, cause, fields]: JSON, as a ticket keeps them."""


class RowMaker:
    def __init__(self, connection: Connection, schemas: Schemas, users: Users) -> None:
        self._zone = ZoneInfo(connection.timezone)
        self._schemas = schemas
        self._users = users

    def rows(self, object_type: str, writes: Iterable[RecordWrite], refused: Refusals) -> Iterator[Row]:
        """Reads the writes one by one. Raises FixConfig when there is a creation and no field can hold its key."""
        if object_type not in objects.WRITABLE:
            raise errors.Unsupported(
                f"Salesforce: {object_type} records are only read here. Change them in Salesforce itself."
            )
        creation: tuple[str, str] | None = None
        for write in writes:
            if not write.record_id:
                creation = creation or self._creation(object_type)
            try:
                cells = self._cells(object_type, write)
            except (errors.FixData, errors.FixConfig, errors.Gone) as error:
                refused.append([write.key, *_noted(error)])
                continue
            if creation and not write.record_id:
                operation, field = creation
                yield Row(write.key, operation, field, {**cells, field: write.key})
            else:
                yield Row(write.key, UPDATE, "Id", {"Id": to_18(write.record_id), **cells})

    def _cells(self, object_type: str, write: RecordWrite) -> Mapping[str, Any]:
        """What may be written. A field that may only be created is left out where the record may exist already."""
        if write.record_id and not is_id(write.record_id):
            raise errors.Gone(f"{write.record_id!r} is no id of a Salesforce record.")
        owners = self._users.ids(addresses(write.values))
        shaper = Shaper(self._schemas.get(object_type), owners, self._zone)
        cells = shaper.shape(write.values, create=not (write.record_id or write.first_attempt_at))
        long = [name for name, value in cells.items() if isinstance(value, str) and len(value) > MAX_CELL]
        if long:
            raise errors.FixData(
                f"A bulk job takes at most {MAX_CELL:,} characters in a field. Shorten {', '.join(long)}.", fields=long
            )
        return cells

    def _creation(self, object_type: str) -> tuple[str, str]:
        """The operation and the field that a creation's key goes to."""
        fields = self._schemas.get(object_type).fields
        ours = fields.get(objects.KEY_FIELDS.get(object_type, ""), {})
        if ours.get("externalId") and ours.get("createable"):
            return UPSERT, str(ours["name"])
        standard = fields.get(STANDARD_KEYS.get(object_type, ""), {})
        if standard.get("createable"):
            return INSERT, str(standard["name"])
        wanted = objects.KEY_FIELDS.get(object_type, "an external id of ours")
        raise errors.FixConfig(
            f"Bulk jobs that create {object_type} records need the field {wanted}, which Salesforce does not show us. Have "
            "it created (the connection's page says how), or write in batches.",
            cause="no_key_field",
        )


def deletions(ids: Iterable[str]) -> Iterator[Row]:
    for record_id in ids:
        yield Row(record_id, DELETE, "Id", {"Id": to_18(record_id) if is_id(record_id) else record_id})


def refusal_of(noted: list[Any]) -> errors.CrmError:
    kind, message, detail, cause, fields = noted
    if kind == "FixData":
        return errors.FixData(message, fields=fields, detail=detail, cause=cause)
    return _KINDS[kind](message, detail=detail, cause=cause)


def _noted(error: errors.CrmError) -> list[Any]:
    kind = next(name for name, known in _KINDS.items() if isinstance(error, known))
    return [kind, error.message, error.detail, error.cause, list(getattr(error, "fields", ()))]
