"""When either side last changed a field: for the records of one page, read when the first of them is asked for.

Our side's times stand in the history. The CRM's stamp is one for the whole record; where an event told of the change and its value
is the one that the record holds now, the event's time is the field's own.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Max

from integrations.models import CrmConnection
from integrations.records.remote import RemoteRecord
from mapping.publishing import compiled
from sync.models import Contact, FieldChange, InboxEvent, SyncRecord

CREATED = FieldChange.CREATED
"""The history's name for all fields of a new contact."""


class FieldTimes:
    def __init__(
        self, connection: CrmConnection, object_type: str, record_ids: Sequence[str], contact_ids: Sequence[UUID]
    ) -> None:
        self.connection = connection
        self.object_type = object_type
        self.record_ids = record_ids
        self.contact_ids = contact_ids

    def ours(self, contact: Contact, link: SyncRecord | None, field: str) -> datetime | None:
        """When anybody but this CRM last set the field."""
        known = self._edited.get((contact.pk, field)) or self._edited.get((contact.pk, CREATED))
        held: datetime | None = link.last_local_modified_at if link else contact.updated_at
        return known or held

    def theirs(self, record: RemoteRecord, field: str) -> datetime:
        places = self._places.get(field, ())
        for at, changed, told in reversed(self._events.get(record.id, ())):
            for place in places:
                if place in changed and _still_true(told, place, record.fields):
                    return at if at < record.modified_at else record.modified_at
        stamp: datetime = record.modified_at
        return stamp

    @cached_property
    def _edited(self) -> dict[tuple[UUID, str], datetime]:
        rows = FieldChange.objects.filter(contact__in=self.contact_ids).exclude(
            source="crm", connection=self.connection
        )
        found = rows.order_by().values_list("contact_id", "field").annotate(last=Max("at"))
        return {(contact_id, field): at for contact_id, field, at in found}

    @cached_property
    def _events(self) -> dict[str, list[tuple[datetime, list[str], dict[str, Any]]]]:
        """The events that are being worked, oldest first: those that were worked before are in the base already."""
        rows = InboxEvent.objects.filter(
            connection=self.connection,
            object_type=self.object_type,
            state=InboxEvent.State.RECEIVED,
            occurred_at__isnull=False,
            record_ids__has_any_keys=list(self.record_ids),
        )
        found: dict[str, list[tuple[datetime, list[str], dict[str, Any]]]] = {}
        for ids, at, changed, told in rows.order_by("occurred_at").values_list(
            "record_ids", "occurred_at", "changed", "values"
        ):
            for record_id in ids:
                found.setdefault(record_id, []).append((at, changed, told))
        return found

    @cached_property
    def _places(self) -> dict[str, tuple[str, ...]]:
        engine = compiled(self.connection, self.object_type).engine
        return {row.field.key: tuple(str(place) for place in row.path.places) for row in engine.rows}


def _still_true(told: dict[str, Any], place: str, fields: Any) -> bool:
    """An event that names no value is believed; one whose value has been replaced since says nothing of the present one."""
    return place not in told or str(told[place]) == str(fields.get(place))
