"""Keeps what each CRM says of its own fields, and notes what changed since the last look and which mapping rows that breaks."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.fields import FieldSpec
from mapping.compiled import MappingRow
from mapping.models import CrmField, CrmObject, MappingVersion, SchemaChange
from mapping.schema_diff import Difference, broken_by, differences

FULL_EVERY = timedelta(hours=20)
"""A CRM may change somebody's rights without saying that its fields changed, so once a day all of them are read."""

_UPDATED = ["label", "kind", "writable", "custom", "required", "max_length", "options", "seen_at", "missing_since"]


def refresh(connection: CrmConnection, provider: CrmProvider, *, full: bool = True) -> list[SchemaChange]:
    """Asks the CRM for the fields of every object type we use, stores them, and returns what changed since the last look.

    Without `full`, an object that the CRM says is unchanged isn't read again, for at most a day. A field that is gone, or hidden
    from us now, is kept and marked, so that mappings to it can be explained. The first look is no change.
    """
    changes: list[SchemaChange] = []
    for object_type in _types(provider):
        changes += _look(connection, provider, object_type, full=full)
    return changes


def _types(provider: CrmProvider) -> list[str]:
    return [*provider.person_types, provider.call_type]


def _look(connection: CrmConnection, provider: CrmProvider, object_type: str, *, full: bool) -> list[SchemaChange]:
    now = timezone.now()
    seen: CrmObject | None = CrmObject.objects.filter(connection=connection, object_type=object_type).first()
    stamp = seen.stamp if seen and not full and now - seen.read_at < FULL_EVERY else ""
    answer = provider.describe_if_changed(object_type, stamp)
    if answer.fields is None and seen is not None:
        CrmObject.objects.filter(pk=seen.pk).update(checked_at=now)
        return []
    specs = list({spec.path: spec for spec in answer.fields or ()}.values())
    with transaction.atomic():
        changes = _note(connection, object_type, specs, now) if seen else []
        _store(connection, object_type, specs, now)
        CrmObject.objects.update_or_create(
            connection=connection,
            object_type=object_type,
            defaults={
                "tenant_id": connection.tenant_id,
                "stamp": answer.stamp[:200],
                "checked_at": now,
                "read_at": now,
            },
        )
    return changes


def _note(connection: CrmConnection, object_type: str, specs: Sequence[FieldSpec], now: datetime) -> list[SchemaChange]:
    kept = list(CrmField.objects.filter(connection=connection, object_type=object_type))
    missing = [one.path for one in kept if one.missing_since]
    found = differences({one.path: _spec(one) for one in kept}, missing, specs)
    rows = _rows_in_force(connection)
    return list(SchemaChange.objects.bulk_create(_change(connection, object_type, one, rows, now) for one in found))


def _change(
    connection: CrmConnection, object_type: str, one: Difference, rows: Sequence[MappingRow], now: datetime
) -> SchemaChange:
    return SchemaChange(
        tenant_id=connection.tenant_id,
        connection=connection,
        object_type=object_type,
        path=one.path,
        label=one.label[:300],
        change=one.change,
        before=one.before,
        after=one.after,
        breaks=[broken.as_json() for broken in broken_by(one, rows, object_type)],
        found_at=now,
    )


def _rows_in_force(connection: CrmConnection) -> list[MappingRow]:
    version: MappingVersion | None = (
        MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
        .order_by("-number")
        .first()
    )
    return [MappingRow(**row) for row in version.rows] if version else []


def _spec(row: CrmField) -> FieldSpec:
    return FieldSpec(
        path=row.path,
        label=row.label,
        kind=row.kind,
        writable=row.writable,
        custom=row.custom,
        required=row.required,
        max_length=row.max_length,
        options=tuple((value, label) for value, label in row.options),
    )


def _store(connection: CrmConnection, object_type: str, specs: Sequence[FieldSpec], now: datetime) -> None:
    rows = [
        CrmField(
            tenant_id=connection.tenant_id,
            connection=connection,
            object_type=object_type,
            path=spec.path,
            label=spec.label[:300],
            kind=spec.kind,
            writable=spec.writable,
            custom=spec.custom,
            required=spec.required,
            max_length=spec.max_length,
            options=[list(option) for option in spec.options],
            seen_at=now,
            missing_since=None,
        )
        for spec in specs
    ]
    CrmField.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["connection", "object_type", "path"], update_fields=_UPDATED
    )
    CrmField.objects.filter(connection=connection, object_type=object_type, missing_since=None, seen_at__lt=now).update(
        missing_since=now
    )
