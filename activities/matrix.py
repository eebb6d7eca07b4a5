"""How each disposition stands in each connected CRM: mapped, by default, not at all, or to a value that the CRM has no more.

The CRMs' choices are those that were discovered last (every hour), so a value that an administrator renames or deletes shows within
that time, and is as quickly over once the map or the CRM is mended: nothing of it is stored.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils import timezone

from activities import effects
from activities.dispositions import plain
from activities.models import Call, DispositionEffect, DispositionMap
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import provider_class
from mapping.models import CrmField

USED_WITHIN = timedelta(days=90)
Choices = Mapping[str, Sequence[tuple[str, str]]]
"""A call's field → its choices as (value, label)."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A value of a map that the CRM does not offer. Without choices the whole field is gone."""

    field: str
    value: str
    offered: tuple[str, ...] = ()
    """The labels of what it offers."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One disposition in one CRM. `row` is the tenant's own map, None where the default holds or nothing does."""

    connection: CrmConnection
    disposition: str
    row: DispositionMap | None
    values: Mapping[str, Any]
    lost: tuple[Lost, ...] = ()

    @property
    def state(self) -> str:
        """lost, mapped, default or unmapped."""
        if self.lost:
            return "lost"
        if self.row is not None:
            return "mapped"
        return "default" if self.values else "unmapped"


@dataclass(slots=True)
class Line:
    """One disposition, with how many calls of the last 90 days ended in it."""

    disposition: str
    calls: int
    effect: DispositionEffect | None
    cells: list[Cell] = field(default_factory=list)


# --- what the CRMs offer --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Discovered:
    """What was discovered of a CRM's calls: its picklists, and fields that are gone or hidden."""

    choices: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


def discovered(connections: Sequence[CrmConnection]) -> dict[UUID, Discovered]:
    """For each connection; one query."""
    found: dict[UUID, Discovered] = defaultdict(Discovered)
    types = {one.pk: provider_class(one.provider).call_type for one in connections}
    rows = CrmField.objects.filter(connection__in=list(types), object_type__in=set(types.values()))
    told = rows.values_list("connection_id", "object_type", "path", "kind", "options", "missing_since")
    for connection_id, object_type, path, kind, options, missing_since in told:
        if object_type != types[connection_id]:
            continue
        if missing_since:
            found[connection_id].gone.add(path)
        elif kind == "picklist" and options:
            found[connection_id].choices[path] = [(str(value), str(label)) for value, label in options]
    return found


def lost_values(provider: type[CrmProvider], values: Mapping[str, Any], known: Discovered) -> tuple[Lost, ...]:
    """Those of a map's values that this CRM can't take any more. Of what was never discovered nothing is said."""
    found = []
    for path, value in values.items():
        choices = known.choices.get(path)
        if path in known.gone:
            found.append(Lost(path, str(value)))
        elif choices and value not in (None, "") and provider.call_choice(path, str(value), choices) is None:
            found.append(Lost(path, str(value), tuple(label for _value, label in choices)))
    return tuple(found)


# --- the matrix of one tenant ---------------------------------------------------------------------------------------


def lines(tenant_id: UUID) -> list[Line]:
    """Every disposition of recent calls, and those that are mapped or have an effect; those with most calls first. Five queries."""
    connections = connections_of([tenant_id])
    known = discovered(connections)
    rows = list(DispositionMap.objects.filter(tenant=tenant_id))
    maps = {(row.crm_provider, plain(row.disposition)): row for row in rows}
    counts, names = _used(tenant_id)
    brings = effects.of_tenant(tenant_id)
    providers = {one.pk: provider_class(one.provider) for one in connections}
    defaults = [name for crm in providers.values() for name in crm.default_dispositions]
    mapped = [row.disposition for row in rows if row.crm_provider in {one.provider for one in connections}]
    for name in (*mapped, *defaults, *(one.disposition for one in brings.values() if one.pk)):
        names.setdefault(plain(name), name)
    made = []
    for key, name in names.items():
        cells = [
            _cell(one, name, maps.get((one.provider, key)), providers[one.pk], known.get(one.pk, Discovered()))
            for one in connections
        ]
        made.append(Line(name, counts[key], brings.get(key), cells))
    return sorted(made, key=lambda line: (-line.calls, line.disposition.casefold()))


def connections_of(tenants: Collection[UUID]) -> list[CrmConnection]:
    """Those that calls are logged in, or will be."""
    rows = CrmConnection.objects.filter(tenant__in=tenants).exclude(status=CrmConnection.Status.DISCONNECTED)
    return list(rows.defer("access_token", "refresh_token", "secrets").order_by("provider"))


def _used(tenant_id: UUID) -> tuple[Counter[str], dict[str, str]]:
    """How many calls had each disposition, by its plain name, and how it is written most often."""
    since = timezone.now() - USED_WITHIN
    rows = Call.objects.filter(tenant=tenant_id, created_at__gte=since).exclude(disposition="").order_by()
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for name, calls in sorted(
        rows.values_list("disposition").annotate(Count("pk")), key=lambda row: (-row[1], str(row[0]))
    ):
        counts[plain(name)] += calls
        names.setdefault(plain(name), name)
    return counts, names


def _cell(
    connection: CrmConnection, name: str, row: DispositionMap | None, provider: type[CrmProvider], known: Discovered
) -> Cell:
    values = row.values if row is not None else default_values(provider, name)
    return Cell(connection, name, row, values, lost_values(provider, values, known))


def default_values(provider: type[CrmProvider], name: str) -> Mapping[str, Any]:
    return next((values for own, values in provider.default_dispositions.items() if plain(own) == plain(name)), {})


# --- what is lost, for the health page ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broken:
    """A disposition that a CRM takes no more the way it is mapped."""

    connection: CrmConnection
    disposition: str
    lost: Lost


def broken(connections: Sequence[CrmConnection]) -> list[Broken]:
    """Everything that the maps in force of these connections say and the CRMs don't offer. Two queries."""
    known = discovered(connections)
    own: dict[tuple[UUID, str], dict[str, tuple[str, Mapping[str, Any]]]] = defaultdict(dict)
    tenants = {one.tenant_id for one in connections if one.pk in known}
    rows: Iterable[tuple[UUID, str, str, dict[str, Any]]] = (
        DispositionMap.objects.filter(tenant__in=tenants).values_list(
            "tenant_id", "crm_provider", "disposition", "values"
        )
        if tenants
        else ()
    )
    for tenant_id, slug, name, values in rows:
        own[tenant_id, slug][plain(name)] = name, values
    found = []
    for one in connections:
        if one.pk in known:
            provider = provider_class(one.provider)
            usual = {plain(name): (name, values) for name, values in provider.default_dispositions.items()}
            for name, says in {**usual, **own[one.tenant_id, one.provider]}.values():
                found += [Broken(one, name, lost) for lost in lost_values(provider, says, known[one.pk])]
    return found
