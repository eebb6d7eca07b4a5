"""A mapping's rows as the editor holds them: those of a version, each with `active` besides, since rows may be switched off."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists

from integrations.registry import provider_class
from mapping.compiled import MappingRow
from mapping.fields import DIALER_FIELDS
from mapping.models import FieldMapping, MappingVersion
from mapping.publishing import ENTITY, edited_row, row_json

Row = dict[str, Any]
ORDER = {field: place for place, field in enumerate(DIALER_FIELDS[ENTITY])}


@dataclass(frozen=True, slots=True)
class InForce:
    """The mapping that the engine runs for one CRM of a tenant, with the rows that are switched off."""

    number: int
    """Of the version; 0 while there is none."""
    rows: list[Row]
    version: MappingVersion | None = None


def in_force(tenant_id: UUID, provider: str) -> InForce:
    """The rows in the order in which people read them."""
    edited = FieldMapping.objects.filter(tenant_id=tenant_id, crm_provider=provider, dialer_entity=ENTITY)
    parked_rows = edited.filter(is_active=False)
    newest = MappingVersion.objects.filter(tenant_id=tenant_id, crm_provider=provider).order_by("-number")
    version: Any = newest.select_related("created_by").annotate(has_parked=Exists(parked_rows)).first()
    rows = [canonical(row) for row in version.rows] if version else []
    if version is None or version.has_parked:
        rows += [{**row_json(row), "active": False} for row in parked_rows]
    return InForce(version.number if version else 0, ordered(rows), version)


def canonical(row: Mapping[str, Any]) -> Row:
    """The same row with every key, so that rows can be compared."""
    known = {name: value for name, value in row.items() if name != "active"}
    edited = edited_row(UUID(int=0), "", {**known, "options": known.get("options") or {}})
    return {**row_json(edited), "active": bool(row.get("active", True))}


def ordered(rows: Iterable[Row]) -> list[Row]:
    """The dialer's own fields in their usual order, then the tenant's."""
    return sorted(rows, key=lambda row: (ORDER.get(row["dialer_field"], len(ORDER)), row["dialer_field"]))


def published(rows: Sequence[Row]) -> list[Row]:
    """What of them a version holds, in its order."""
    active = [_plain(row) for row in rows if row["active"]]
    return sorted(active, key=lambda row: str(row["dialer_field"]))


def parked(rows: Sequence[Row]) -> list[Row]:
    """Those that are switched off."""
    return [_plain(row) for row in rows if not row["active"]]


def engine_row_of(row: Mapping[str, Any]) -> MappingRow:
    """The row as the engine takes it."""
    return MappingRow(**_plain(row))


def new_row(crm_object: str, dialer_field: str = "", crm_field: str = "") -> Row:
    known = DIALER_FIELDS[ENTITY].get(dialer_field)
    direction = known.direction_default if known else FieldMapping.Direction.BIDIRECTIONAL.value
    row = MappingRow(dialer_field=dialer_field, crm_object=crm_object, crm_field=crm_field, direction=direction)
    return canonical(row_json(edited_row(UUID(int=0), "", vars_of(row))))


def default_rows(provider: str) -> list[Row]:
    """The rows with which the CRM's mapping begins."""
    kind = provider_class(provider)
    rows = [
        MappingRow(
            dialer_field=one.dialer_field,
            crm_object=kind.mapping_object,
            crm_field=one.crm_field,
            direction=one.direction,
            transform=one.transform,
            options=dict(one.options),
            required=one.required,
            object_overrides=dict(one.overrides),
        )
        for one in kind.default_mappings
    ]
    return ordered(canonical(vars_of(row)) for row in rows)


def vars_of(row: MappingRow) -> Row:
    return {name: getattr(row, name) for name in MappingRow.__dataclass_fields__}


def _plain(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "active"}
