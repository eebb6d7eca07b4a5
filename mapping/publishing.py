"""From the rows that people edit to the version that the engine runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection as database
from django.db import transaction
from django.db.models import Max

from integrations.models import CrmConnection
from integrations.records.fields import MappingDefault
from integrations.registry import provider_class
from mapping.compiled import CompiledMapping, MappingError, MappingRow
from mapping.models import FieldMapping, MappingVersion

ENTITY = "contact"


@dataclass(frozen=True, slots=True)
class Published:
    """A mapping in force: its version number and the engine made from it."""

    version: int
    engine: CompiledMapping


def compiled(connection: CrmConnection, object_type: str) -> Published:
    """The newest published mapping of contacts for one CRM object. Compiled once per version and process."""
    version = (
        MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
        .order_by("-number")
        .first()
    )
    if version is None:
        version = publish(connection.tenant_id, connection.provider, note="First version")
    tenant = connection.tenant
    engine = _compile(version.pk, object_type, tenant.region, tenant.timezone)
    return Published(version.number, engine)


@lru_cache(maxsize=2000)
def _compile(version_id: int, object_type: str, region: str, timezone: str) -> CompiledMapping:
    """Versions never change, so their id is all that the cache needs."""
    rows = MappingVersion.objects.get(pk=version_id).rows
    return CompiledMapping.compile(
        [MappingRow(**row) for row in rows], object_type=object_type, region=region, timezone=timezone
    )


def publish(tenant_id: UUID, provider: str, *, note: str = "", user_id: int | None = None) -> MappingVersion:
    """Makes the current rows the mapping in force. The same rows again make no new version.

    Raises MappingError that lists every problem of the rows; nothing is published then.
    """
    with transaction.atomic():
        with database.cursor() as sql:
            sql.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"mapping:{tenant_id}:{provider}"])
        rows = [_as_json(engine_row(row)) for row in _rows_of(tenant_id, provider)]
        versions = MappingVersion.objects.filter(tenant_id=tenant_id, crm_provider=provider)
        newest: MappingVersion | None = versions.order_by("-number").first()
        if newest is not None and newest.rows == rows:
            return newest
        for object_type in provider_class(provider).person_types:
            CompiledMapping.compile(
                [MappingRow(**row) for row in rows], object_type=object_type, region="US", timezone="UTC"
            )
        number = (versions.aggregate(last=Max("number"))["last"] or 0) + 1
        created: MappingVersion = MappingVersion.objects.create(
            tenant_id=tenant_id, crm_provider=provider, number=number, rows=rows, note=note, created_by_id=user_id
        )
        return created


def restore(version: MappingVersion, *, user_id: int | None = None) -> MappingVersion:
    """Makes the rows what they were in an earlier version, and publishes them as a new one."""
    note = f"Back to version {version.number}"
    return adopt(version.tenant_id, version.crm_provider, version.rows, note=note, user_id=user_id)


def adopt(
    tenant_id: UUID,
    provider: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    note: str,
    user_id: int | None = None,
    parked: Sequence[Mapping[str, Any]] | None = None,
) -> MappingVersion:
    """Makes these, in the form of a version's rows, the rows that people edit, and publishes them. Raises MappingError.

    `parked` are the rows that are kept switched off; None leaves those of now.
    """
    fields = [row["dialer_field"] for row in rows]
    with transaction.atomic():
        everything = FieldMapping.objects.filter(tenant_id=tenant_id, crm_provider=provider, dialer_entity=ENTITY)
        if parked is None:
            _rows_of(tenant_id, provider).delete()
            everything.filter(dialer_field__in=fields).delete()  # switched off meanwhile
        else:
            everything.delete()
        made = [_model_row(tenant_id, provider, MappingRow(**row)) for row in rows]
        made += [_switched_off(_model_row(tenant_id, provider, MappingRow(**row))) for row in parked or ()]
        FieldMapping.objects.bulk_create(made)
        return publish(tenant_id, provider, note=note, user_id=user_id)


def _switched_off(row: FieldMapping) -> FieldMapping:
    row.is_active = False
    return row


def row_json(row: FieldMapping) -> dict[str, Any]:
    """A row in the form in which versions keep it."""
    return _as_json(engine_row(row))


def edited_row(tenant_id: UUID, provider: str, row: Mapping[str, Any]) -> FieldMapping:
    """A version's row in the form in which people edit it. It is not stored."""
    return _model_row(tenant_id, provider, MappingRow(**row))


def add_defaults(connection: CrmConnection) -> int:
    """Gives a new connection the CRM's default rows; rows that the tenant has are left alone. Returns how many were added."""
    provider = provider_class(connection.provider)
    before = _rows_of(connection.tenant_id, connection.provider).count()
    FieldMapping.objects.bulk_create(
        [_default_row(connection, default, provider.mapping_object) for default in provider.default_mappings],
        ignore_conflicts=True,
    )
    publish(connection.tenant_id, connection.provider, note="Defaults of the CRM")
    return int(_rows_of(connection.tenant_id, connection.provider).count()) - int(before)


def engine_row(row: FieldMapping) -> MappingRow:
    return MappingRow(
        dialer_field=row.dialer_field,
        crm_object=row.crm_object,
        crm_field=row.crm_field,
        direction=row.sync_direction,
        transform=row.transform_rule or "none",
        options=row.custom_transform or {},
        required=row.is_required,
        validations=tuple(row.validations),
        object_overrides=row.object_overrides,
        on_blank=row.on_blank,
        strategy=row.strategy,
    )


def problems_of_row(row: FieldMapping) -> None:
    """Raises ValidationError with every problem of one row, as the engine would meet it."""
    try:
        CompiledMapping.compile([engine_row(row)], object_type=row.crm_object, region="US", timezone="UTC")
    except MappingError as error:
        raise ValidationError(str(error)) from error


def _as_json(row: MappingRow) -> dict[str, Any]:
    return {**asdict(row), "validations": list(row.validations)}


def _rows_of(tenant_id: UUID, provider: str) -> Any:
    return FieldMapping.objects.filter(
        tenant_id=tenant_id, crm_provider=provider, dialer_entity=ENTITY, is_active=True
    ).order_by("dialer_field")


def _default_row(connection: CrmConnection, default: MappingDefault, crm_object: str) -> FieldMapping:
    return FieldMapping(
        tenant_id=connection.tenant_id,
        crm_provider=connection.provider,
        sync_direction=default.direction,
        dialer_entity=ENTITY,
        dialer_field=default.dialer_field,
        crm_object=crm_object,
        crm_field=default.crm_field,
        transform_rule=default.transform,
        custom_transform=dict(default.options) or None,
        is_required=default.required,
        object_overrides=dict(default.overrides),
    )


def _model_row(tenant_id: UUID, provider: str, row: MappingRow) -> FieldMapping:
    return FieldMapping(
        tenant_id=tenant_id,
        crm_provider=provider,
        sync_direction=row.direction,
        dialer_entity=ENTITY,
        dialer_field=row.dialer_field,
        crm_object=row.crm_object,
        crm_field=row.crm_field,
        transform_rule=row.transform,
        custom_transform=dict(row.options or {}) or None,
        is_required=row.required,
        validations=list(row.validations),
        object_overrides=dict(row.object_overrides),
        on_blank=row.on_blank,
        strategy=row.strategy,
    )
