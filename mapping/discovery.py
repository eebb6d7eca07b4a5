"""Keeps what each CRM says of its own fields."""

from django.db import transaction
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records import FieldSpec
from mapping.models import CrmField

_UPDATED = ["label", "kind", "writable", "custom", "required", "max_length", "options", "seen_at", "missing_since"]


def refresh(connection: CrmConnection, provider: CrmProvider) -> int:
    """Asks the CRM for the fields of every object type we use and stores them. Returns how many there are.

    A field that is gone, or hidden from us now, is kept and marked, so that mappings to it can be explained.
    """
    return sum(_store(connection, object_type, provider.describe(object_type)) for object_type in _types(provider))


def _types(provider: CrmProvider) -> list[str]:
    return [*provider.person_types, provider.call_type]


def _store(connection: CrmConnection, object_type: str, specs: list[FieldSpec]) -> int:
    now = timezone.now()
    unique = {spec.path: spec for spec in specs}
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
        for spec in unique.values()
    ]
    with transaction.atomic():
        CrmField.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["connection", "object_type", "path"], update_fields=_UPDATED
        )
        CrmField.objects.filter(
            connection=connection, object_type=object_type, missing_since=None, seen_at__lt=now
        ).update(missing_since=now)
    return len(rows)
