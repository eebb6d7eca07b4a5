"""Stores what was said of dispositions in the matrix, forgets one, and goes back to what is usual."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from activities import matrix
from activities.disposition_editing import Said
from activities.dispositions import plain
from activities.models import DispositionEffect, DispositionMap
from integrations.registry import provider_class


def store(tenant_id: UUID, said: Said, added: str = "") -> None:
    """Writes what was said, which must have no problems, in a handful of statements."""
    with transaction.atomic():
        maps = [
            DispositionMap(tenant_id=tenant_id, crm_provider=provider, disposition=name, values=values)
            for (provider, name), values in said.maps.items()
        ]
        _upsert_maps(tenant_id, maps)
        _upsert_effects(tenant_id, said.effects)
        if added:
            DispositionEffect.objects.get_or_create(
                tenant_id=tenant_id, disposition=added, defaults={"books_meeting": True}
            )


def _upsert_maps(tenant_id: UUID, rows: Sequence[DispositionMap]) -> None:
    """Names are compared without regard to case and space, so a row that is spelled otherwise is the same."""
    held = {
        (one.crm_provider, plain(one.disposition)): one for one in DispositionMap.objects.filter(tenant_id=tenant_id)
    }
    new = []
    for row in rows:
        known = held.get((row.crm_provider, plain(row.disposition)))
        if known is None:
            new.append(row)
        else:
            known.values = row.values
            known.save()
    DispositionMap.objects.bulk_create(new)


def _upsert_effects(tenant_id: UUID, effects: Mapping[str, Mapping[str, Any]]) -> None:
    held = {plain(one.disposition): one for one in DispositionEffect.objects.filter(tenant_id=tenant_id)}
    for name, values in effects.items():
        row = held.get(plain(name)) or DispositionEffect(tenant_id=tenant_id, disposition=name)
        for key, value in values.items():
            setattr(row, key, value)
        row.save()


def remove(tenant_id: UUID, name: str) -> int:
    """Forgets what is stored of a disposition: its maps and its effects. Returns how many rows went."""
    maps = [
        one.pk for one in DispositionMap.objects.filter(tenant_id=tenant_id) if plain(one.disposition) == plain(name)
    ]
    effects = [
        one.pk for one in DispositionEffect.objects.filter(tenant_id=tenant_id) if plain(one.disposition) == plain(name)
    ]
    with transaction.atomic():
        DispositionMap.objects.filter(pk__in=maps).delete()
        DispositionEffect.objects.filter(pk__in=effects).delete()
    return len(maps) + len(effects)


def restore_defaults(tenant_id: UUID) -> int:
    """Writes the usual maps of each connected CRM again; own dispositions stay. Returns how many maps are different now."""
    changed = [
        DispositionMap(tenant_id=tenant_id, crm_provider=one.provider, disposition=name, values=dict(values))
        for one, name, values in _usual(tenant_id)
    ]
    with transaction.atomic():
        _upsert_maps(tenant_id, changed)
    return len(changed)


def _usual(tenant_id: UUID) -> list[tuple[Any, str, Mapping[str, Any]]]:
    """Of each connected CRM, the usual maps from which the tenant's differ."""
    held = {
        (one.crm_provider, plain(one.disposition)): one.values
        for one in DispositionMap.objects.filter(tenant_id=tenant_id)
    }
    return [
        (one, name, values)
        for one in matrix.connections_of([tenant_id])
        for name, values in provider_class(one.provider).default_dispositions.items()
        if held.get((one.provider, plain(name)), values) != values
    ]


def differing_from_usual(tenant_id: UUID) -> list[str]:
    """What restoring the defaults would change, as "CRM: disposition"."""
    return [f"{one.get_provider_display()}: {name}" for one, name, _values in _usual(tenant_id)]
