"""A tenant's configuration as one JSON document: field mappings, conflict rules, disposition maps and effects.

Reading a document is all or nothing: every problem is found first and told with its path, then everything is replaced in one
transaction and published as new mapping versions. A key that the document leaves out is left as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from activities import advice
from activities.dispositions import plain
from activities.models import DispositionEffect, DispositionMap
from integrations.models import Tenant
from integrations.registry import PROVIDERS
from mapping.compiled import MappingError
from mapping.documents import ROW_KEYS, InvalidDocument, Problem, check_rows, model_row
from mapping.fields import conflict_field_problem
from mapping.models import ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import publish

Document = dict[str, Any]
MOST_NAME, MOST_TEXT, MOST_DAYS = 100, 200, 32_767


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_TEXT


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_days(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not _is_flag(value) and 0 <= value <= MOST_DAYS)


EFFECT_KEYS: Mapping[str, Callable[[Any], bool]] = {
    "do_not_call": _is_flag,
    "lead_status": _is_text,
    "follow_up_days": _is_days,
    "follow_up_title": _is_text,
    "books_meeting": _is_flag,
}
"""What a disposition may bring about, and what JSON says so."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a document did. `versions`: CRM → number of the mapping version in force now."""

    field_mappings: int = 0
    conflict_resolution: bool = False
    disposition_mapping: int = 0
    disposition_effects: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)


def export(tenant: Tenant) -> Document:
    """The whole configuration; importing it again changes nothing."""
    rows = FieldMapping.objects.filter(tenant=tenant).order_by("crm_provider", "dialer_entity", "dialer_field")
    policy = ConflictPolicy.objects.filter(tenant=tenant).first()
    dispositions: dict[str, dict[str, Any]] = {}
    for one in DispositionMap.objects.filter(tenant=tenant).order_by("crm_provider", "disposition"):
        dispositions.setdefault(one.crm_provider, {})[one.disposition] = one.values
    return {
        "field_mappings": [{name: getattr(row, name) for name in ROW_KEYS} for row in rows],
        "conflict_resolution": {
            "default": policy.default if policy else Strategy.CRM_WINS.value,
            "overrides": dict(policy.overrides) if policy else {},
        },
        "disposition_mapping": dispositions,
        **_effects(tenant),
    }


def _effects(tenant: Tenant) -> Document:
    """The part of the effects, which a tenant without any does not have."""
    rows = DispositionEffect.objects.filter(tenant=tenant).order_by("disposition")
    found = {row.disposition: {name: getattr(row, name) for name in EFFECT_KEYS} for row in rows}
    return {"disposition_effects": found} if found else {}


def import_document(tenant: Tenant, document: Any, *, note: str = "Imported", user_id: int | None = None) -> Imported:
    """Replaces what the document names. Raises InvalidDocument with every problem; nothing is changed then."""
    problems = list(problems_of(document))
    if problems:
        raise InvalidDocument(problems)
    with transaction.atomic():
        versions: dict[str, int] = {}
        if "field_mappings" in document:
            versions = _replace_rows(tenant, document["field_mappings"], note, user_id)
        if "conflict_resolution" in document:
            chosen = document["conflict_resolution"]
            ConflictPolicy.objects.update_or_create(
                tenant=tenant,
                defaults={
                    "default": chosen.get("default", Strategy.CRM_WINS),
                    "overrides": chosen.get("overrides", {}),
                },
            )
        if "disposition_mapping" in document:
            _replace_dispositions(tenant, document["disposition_mapping"])
            advice.refresh_tenants([tenant.pk])
        if "disposition_effects" in document:
            _replace_effects(tenant, document["disposition_effects"])
    return Imported(
        field_mappings=len(document.get("field_mappings", ())),
        conflict_resolution="conflict_resolution" in document,
        disposition_mapping=sum(map(len, document.get("disposition_mapping", {}).values())),
        disposition_effects=len(document.get("disposition_effects", ())),
        versions=versions,
    )


# --- checking -------------------------------------------------------------------------------------------------------


def problems_of(document: Any) -> Iterator[Problem]:
    """Everything that is wrong with a document, with its path. Touches no database."""
    if not isinstance(document, dict):
        yield Problem("$", "The document has to be a JSON object.")
        return
    for key in document:
        if key not in PARTS:
            yield Problem(str(key), f"There is no such part. Known are: {', '.join(PARTS)}.")
    for key, check in PARTS.items():
        if key in document:
            yield from check(document[key], key)


def _check_policy(policy: Any, path: str) -> Iterator[Problem]:
    if not isinstance(policy, dict):
        yield Problem(path, 'Write an object such as {"default": "crm_wins", "overrides": {}}.')
        return
    for key in policy:
        if key not in {"default", "overrides"}:
            yield Problem(f"{path}.{key}", "There is no such part. Known are: default, overrides.")
    yield from _check_strategy(policy.get("default", Strategy.CRM_WINS.value), f"{path}.default")
    overrides = policy.get("overrides", {})
    if not isinstance(overrides, dict):
        yield Problem(f"{path}.overrides", "Write an object with a strategy for each field.")
        return
    for name, strategy in overrides.items():
        problem = conflict_field_problem(name)
        if problem:
            yield Problem(f"{path}.overrides.{name}", problem)
        yield from _check_strategy(strategy, f"{path}.overrides.{name}")


def _check_strategy(strategy: Any, path: str) -> Iterator[Problem]:
    if strategy not in Strategy.values:
        yield Problem(path, f"{strategy!r} is no strategy. Choose one of: {', '.join(Strategy.values)}.")


def _check_dispositions(maps: Any, path: str) -> Iterator[Problem]:
    if not isinstance(maps, dict):
        yield Problem(path, "Write an object with one key for each CRM.")
        return
    for provider, table in maps.items():
        own = f"{path}.{provider}"
        if provider not in PROVIDERS:
            yield Problem(own, f"There is no CRM of this name. Known are: {', '.join(PROVIDERS)}.")
        elif not isinstance(table, dict):
            yield Problem(own, "Write an object with one key for each disposition.")
        else:
            yield from (
                Problem(f"{own}.{name}", "Write an object with the CRM's own fields.")
                for name, values in table.items()
                if not isinstance(values, dict)
            )


def _check_effects(effects: Any, path: str) -> Iterator[Problem]:
    if not isinstance(effects, dict):
        yield Problem(path, "Write an object with one key for each disposition.")
        return
    seen: dict[str, str] = {}
    for name, said in effects.items():
        own = f"{path}.{name}"
        if plain(name) in seen or not plain(name) or len(name) > MOST_NAME:
            yield Problem(
                own, f"Write each disposition once, with at most {MOST_NAME} characters; capitals don't matter."
            )
        seen[plain(name)] = name
        yield from _check_effect(said, own)


def _check_effect(said: Any, path: str) -> Iterator[Problem]:
    if not isinstance(said, dict):
        yield Problem(path, f"Write an object with some of: {', '.join(EFFECT_KEYS)}.")
        return
    for key, value in said.items():
        if key not in EFFECT_KEYS:
            yield Problem(f"{path}.{key}", f"A disposition has no such effect. Known are: {', '.join(EFFECT_KEYS)}.")
        elif not EFFECT_KEYS[key](value):
            yield Problem(f"{path}.{key}", f"{value!r} is not of the right kind.")


PARTS: Mapping[str, Callable[[Any, str], Iterator[Problem]]] = {
    "field_mappings": check_rows,
    "conflict_resolution": _check_policy,
    "disposition_mapping": _check_dispositions,
    "disposition_effects": _check_effects,
}

# --- writing --------------------------------------------------------------------------------------------------------


def _replace_rows(tenant: Tenant, rows: Sequence[Mapping[str, Any]], note: str, user_id: int | None) -> dict[str, int]:
    before = FieldMapping.objects.filter(tenant=tenant)
    touched = {*before.values_list("crm_provider", flat=True), *(row["crm_provider"] for row in rows)}
    before.delete()
    FieldMapping.objects.bulk_create(model_row(row, tenant) for row in rows)
    try:
        return {slug: publish(tenant.pk, slug, note=note, user_id=user_id).number for slug in sorted(touched)}
    except MappingError as error:
        raise InvalidDocument([Problem("field_mappings", one.message) for one in error.problems]) from error


def _replace_dispositions(tenant: Tenant, maps: Mapping[str, Mapping[str, Any]]) -> None:
    DispositionMap.objects.filter(tenant=tenant, crm_provider__in=list(maps)).delete()
    DispositionMap.objects.bulk_create(
        DispositionMap(tenant_id=tenant.pk, crm_provider=slug, disposition=name, values=values)
        for slug, table in maps.items()
        for name, values in table.items()
    )


def _replace_effects(tenant: Tenant, effects: Mapping[str, Mapping[str, Any]]) -> None:
    DispositionEffect.objects.filter(tenant=tenant).delete()
    DispositionEffect.objects.bulk_create(
        DispositionEffect(tenant_id=tenant.pk, disposition=" ".join(name.split()), **said)
        for name, said in effects.items()
    )
