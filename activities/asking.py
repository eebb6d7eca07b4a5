"""What has to be known of posted calls before they can be stored, asked in one statement: each way to the database costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database

from activities.dispositions import plain
from activities.models import DispositionEffect
from activities.targets import Target, first_of_each
from integrations import prepared
from sync import link_states

Earlier = Mapping[str, tuple[UUID, str]]
"""Dialer's id → our id and fingerprint."""

_ASK = """
SELECT (
    SELECT json_agg(json_build_array(external_id, id, fingerprint)) FROM call_activities
    WHERE tenant_id = %(tenant)s AND external_id = ANY(%(names)s::text[])
)::text, (
    SELECT json_agg(json_build_array(local_record_id, connection_id, crm_object_type, crm_record_id) ORDER BY created_at)
    FROM crm_sync_records
    WHERE local_record_id = ANY(%(people)s::uuid[]) AND tenant_id = %(tenant)s AND local_table = 'contacts'
        AND connection_id IS NOT NULL AND NOT metadata ?| %(gone)s::text[]
)::text, (
    SELECT json_agg(effect) FROM disposition_effects effect WHERE tenant_id = %(tenant)s AND %(told)s::boolean
)::text
"""
_COLUMNS = [field.attname for field in DispositionEffect._meta.concrete_fields]


@dataclass(frozen=True, slots=True)
class Known:
    earlier: Earlier
    """Those of the calls that were posted before."""
    links: Mapping[UUID, list[Target]]
    """The records of the contacts that the calls name; see `targets`."""
    effects: Mapping[str, DispositionEffect]
    """See `booking.effects_of`."""


def ask(tenant_id: UUID, asked: Sequence[Mapping[str, Any]]) -> Known:
    """About checked calls of the current tenant."""
    terms = {
        "tenant": tenant_id,
        "names": [one["external_id"] for one in asked],
        "people": list({one["contact_id"] for one in asked if one.get("contact_id") is not None}),
        "gone": list(link_states.NO_LONGER_THERE),
        "told": any(one["disposition"] for one in asked),
    }
    [(calls, links, effects)] = prepared.rows(_ASK, terms)
    return Known(
        {name: (UUID(pk), mark) for name, pk, mark in _listed(calls)},
        first_of_each((UUID(contact), UUID(crm), kind, record) for contact, crm, kind, record in _listed(links)),
        {plain(one["disposition"]): _effect(one) for one in _listed(effects)},
    )


def _listed(answer: str | None) -> list[Any]:
    found: list[Any] = json.loads(answer) if answer else []
    return found


def _effect(told: Mapping[str, Any]) -> DispositionEffect:
    return DispositionEffect.from_db(database.alias, _COLUMNS, [told[name] for name in _COLUMNS])
