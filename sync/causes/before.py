"""What happened shortly before a cause was first seen: a new mapping version, another field in the CRM, a new credential, a
deployment. None of it has to be the reason, but one of them often is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.utils.translation import gettext as _

from integrations.models import CrmConnection
from integrations.registry import provider_label
from mapping.models import MappingVersion, SchemaChange
from sync.causes.counting import Pile, Share
from sync.models import FailureCause

WITHIN = timedelta(hours=24)
MOST = 1000
EACH = 5


_Row = tuple[Any, ...]
_EVENTS = """
SELECT event.kind, event.id, event.at, event.tenant_id, tenant.name, event.provider, event.one, event.two FROM (
    SELECT 'mapping' AS kind, id::text, created_at AS at, tenant_id, crm_provider AS provider, number::text AS one, '' AS two
    FROM mapping_versions WHERE tenant_id = ANY(%(tenants)s) AND created_at BETWEEN %(since)s AND %(until)s
  UNION ALL
    SELECT 'schema', change.id::text, found_at, change.tenant_id, provider, change, object_type || '.' || path
    FROM schema_changes change JOIN crm_credentials held ON held.id = change.connection_id
    WHERE change.tenant_id = ANY(%(tenants)s) AND found_at BETWEEN %(since)s AND %(until)s
  UNION ALL
    SELECT 'consent', id::text, used_at, tenant_id, provider, '', ''
    FROM consent_attempts WHERE tenant_id = ANY(%(tenants)s) AND used_at BETWEEN %(since)s AND %(until)s
  UNION ALL
    SELECT 'state', id::text, status_since, tenant_id, provider, status, ''
    FROM crm_credentials WHERE tenant_id = ANY(%(tenants)s) AND status_since BETWEEN %(since)s AND %(until)s
  UNION ALL
    SELECT 'deployment', id::text, seen_at, NULL, NULL, version, ''
    FROM deployments WHERE seen_at BETWEEN %(since)s AND %(until)s
) event LEFT JOIN tenants tenant ON tenant.id = event.tenant_id
ORDER BY event.at DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `row` has a page that tells more, if there is one; without a tenant it concerned everybody."""

    at: datetime
    words: str
    icon: str
    row: Any = None
    tenant_id: UUID | None = None
    tenant: str = ""
    provider: str = ""
    field: str = ""


def before(piles: Sequence[Pile]) -> dict[str, list[Event]]:
    """By fingerprint what came before, what fits best first, then the newest. A fixed number of queries."""
    if not piles:
        return {}
    since = min(pile.first_seen for pile in piles) - WITHIN
    until = max(share.cause.first_seen for pile in piles for share in pile.shares)
    tenants = {share.tenant.pk for pile in piles for share in pile.shares}
    events = _events(tenants, since, until)
    found: dict[str, list[Event]] = defaultdict(list)
    for pile in piles:
        fitting = {id(one): one for share in pile.shares for one in events if _fits(one, share)}
        ordered = sorted(fitting.values(), key=lambda one: one.at, reverse=True)
        found[pile.cause.fingerprint] = sorted(ordered, key=lambda one: not _names_field(one, pile.cause))[:EACH]
    return found


def _events(tenants: Iterable[UUID], since: datetime, until: datetime) -> list[Event]:
    """All that is known to have happened to these tenants, in one statement."""
    terms: dict[str, Any] = {"tenants": list(tenants), "since": since, "until": until, "most": MOST}
    with database.cursor() as cursor:
        cursor.execute(_EVENTS, terms)
        return [_told(row) for row in cursor.fetchall()]


def _fits(event: Event, share: Share) -> bool:
    cause = share.cause
    near = cause.first_seen - WITHIN <= event.at <= cause.first_seen
    return near and event.tenant_id in (None, cause.tenant_id) and event.provider in ("", cause.provider)


def _names_field(event: Event, cause: FailureCause) -> bool:
    return bool(event.field) and event.field in cause.fields


def _told(row: _Row) -> Event:
    """One row of what was found, in words, with the page that tells more."""
    kind, pk, at, tenant_id, tenant, provider, one, two = row
    crm = provider_label(provider) if provider else ""
    where = (tenant_id, tenant or "", provider or "")
    if kind == "mapping":
        words = _("Mapping version %(number)s was published") % {"number": one}
        return Event(at, words, "layers", MappingVersion(pk=pk), *where)
    if kind == "schema":
        terms = {"change": dict(SchemaChange.Kind.choices).get(one, one), "field": two}
        words, field = _("%(change)s: %(field)s") % terms, two.partition(".")[2]
        return Event(at, words, "difference", SchemaChange(pk=pk), *where, field)
    if kind == "consent":
        return Event(at, _("%(crm)s was connected again") % {"crm": crm}, "cable", None, *where)
    if kind == "state":
        terms = {"crm": crm, "state": dict(CrmConnection.Status.choices).get(one, one)}
        words = _("The connection to %(crm)s became: %(state)s") % terms
        return Event(at, words, "cable", CrmConnection(pk=pk), *where)
    return Event(at, _("Version %(version)s was deployed") % {"version": one}, "rocket_launch")
