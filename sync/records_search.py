"""Finding a record by whatever somebody has at hand: a name, a number, an address, or an id of ours, the CRM's or the dialer's.

Each question is one that an index answers, also among a million contacts of many tenants, and what fits exactly comes first. Apps
above add what else can be found to `SEARCHES`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import phonenumbers
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from integrations import tenancy
from integrations.models import Tenant
from integrations.registry import PROVIDERS, provider_class
from sync.models import Contact, SyncRecord
from sync.named import Way, named

CONTACTS = Contact._meta.db_table
MOST = 25
"""Hits of one kind. Who sees more narrows the search down."""
MOST_LISTED = 500
"""Of each way to read a name, in the list of contacts."""
SHORTEST_PHONE = 5
"""Digits from which a text may be a phone number."""
MOST_TENANTS = 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, and by what."""

    row: Any
    by: str
    exact: bool


Search = Callable[[str], Iterable[Hit]]
SEARCHES: list[Search] = []


def find(term: str) -> list[Hit]:
    """What the term may mean, the exact hits first."""
    term = " ".join(term.split())
    if not term:
        return []
    token = _tenants.set(_all_tenants())
    try:
        hits = [hit for search in (contacts, *SEARCHES) for hit in search(term)]
    finally:
        _tenants.reset(token)
    return sorted(hits, key=lambda hit: not hit.exact)


# --- contacts -----------------------------------------------------------------------------------------------------------------


def contacts(term: str) -> list[Hit]:
    found: dict[UUID, Hit] = {}
    for hits in _ways(term):
        for hit in hits:
            found.setdefault(hit.row.pk, hit)
        if len(found) >= MOST or any(hit.exact for hit in found.values() if "@" in term):
            break
    return list(found.values())[:MOST]


def _ways(term: str) -> Iterator[list[Hit]]:
    rows = anywhere(Contact.objects.select_related("tenant"))
    own = as_uuid(term)
    if own:
        yield [Hit(row, _("our id"), exact=True) for row in rows.filter(pk=own)]
    if "@" in term:
        yield [Hit(row, _("e-mail"), exact=True) for row in rows.filter(email__in={term, term.lower()})[:MOST]]
        return
    links = linked(term, CONTACTS)
    if links:
        yield [
            Hit(row, f"{links[row.pk].get_crm_provider_display()} {links[row.pk].crm_object_type} {term}", exact=True)
            for row in rows.filter(pk__in=list(links))[:MOST]
        ]
    if is_phone(term):
        numbers = phone_candidates(term, regions())
        for name, words in (("phone", _("phone")), ("mobile_phone", _("mobile phone"))):
            yield [Hit(row, words, exact=True) for row in rows.filter(**{f"{name}__in": numbers})[:MOST]]
        return
    ranks = _by_name(term, MOST)
    named = sorted(
        rows.filter(pk__in=list(ranks)), key=lambda row: (row.last_name.casefold(), row.first_name.casefold())
    )
    for exact in (True, False):
        yield [Hit(row, _("name"), exact) for row in named if ranks[row.pk] is exact]


def matching(term: str) -> Q:
    """Contacts that a text may mean: an e-mail, else a CRM's id, else a phone number, else the beginnings of names."""
    if "@" in term:
        return Q(email__in={term, term.lower()})
    found = {*linked(term, CONTACTS), *({own} if (own := as_uuid(term)) else ())}
    if found:
        return Q(pk__in=found)
    if is_phone(term):
        numbers = phone_candidates(term, regions())
        return Q(phone__in=numbers) | Q(mobile_phone__in=numbers)
    return Q(pk__in=list(_by_name(term, MOST_LISTED)))


def _by_name(term: str, most: int) -> dict[UUID, bool]:
    """Contacts with such a name, and whether it is the whole name.

    Each way to read the term is a question of its own, without an order: else the planner walks through all contacts in the
    order of their names, hoping to meet the few that fit.
    """
    ways = [Way(first, last, whole) for whole in (True, False) for first, last in _readings(term)]
    return named(_searched(), ways, most, words=re.findall(r"\w+", term) or ["-"])


def _readings(term: str) -> list[tuple[str, str]]:
    """A last or first name, or both in either order."""
    pairs = _pairs(term)
    return [("", term), (term, ""), *pairs, *((other, one) for one, other in pairs)]


def _pairs(term: str) -> list[tuple[str, str]]:
    """The two parts of a name that a text may be: before and after each of its spaces."""
    words = term.replace(",", " ").split()
    return [(" ".join(words[:place]), " ".join(words[place:])) for place in range(1, min(len(words), 4))]


# --- what all searches need ---------------------------------------------------------------------------------------------------


_tenants: ContextVar[list[UUID] | None] = ContextVar("tenants_searched", default=None)


def _all_tenants() -> list[UUID] | None:
    """Those of whoever may see them all; None for people of some tenants."""
    if tenancy.current_scope() is not tenancy.EVERYONE:
        return None
    return list(Tenant.objects.order_by().values_list("pk", flat=True)[:MOST_TENANTS])


def _searched() -> list[UUID]:
    """The tenants in scope, or all of them."""
    scope = tenancy.current_scope()
    return list(scope) if isinstance(scope, frozenset) else _tenants.get() or _all_tenants() or []


def anywhere(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Names the tenants where all of them are searched: the indexes begin with the tenant."""
    searched = _tenants.get() or _all_tenants()
    return rows if searched is None else rows.filter(tenant__in=searched)


def as_uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def is_phone(term: str) -> bool:
    return sum(char.isdigit() for char in term) >= SHORTEST_PHONE and not any(char.isalpha() for char in term)


def regions() -> list[str]:
    """The home countries of the tenants in scope."""
    return list(Tenant.objects.values_list("region", flat=True).distinct())


def phone_candidates(term: str, countries: Iterable[str]) -> list[str]:
    """The number in E.164, read as each of these countries would."""
    found = set()
    for country in countries:
        try:
            number = phonenumbers.parse(term, country)
        except phonenumbers.NumberParseException:
            continue
        found.add(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return sorted(found)


def linked(term: str, table: str) -> dict[UUID, SyncRecord]:
    """Our rows of a table that are this record in any CRM, with the link that says so."""
    if any(char.isspace() for char in term):
        return {}
    rows = anywhere(SyncRecord.objects.filter(with_crm_id(term), local_table=table))[:50]
    return {one.local_record_id: one for one in rows if one.local_record_id}


def with_crm_id(term: str) -> Q:
    """Links to the record with this id. Every part of their index is named, else it would be read from end to end."""
    found = Q(pk__in=())
    for slug in PROVIDERS:
        provider = provider_class(slug)
        types = [*provider.person_types, provider.call_type]
        found |= Q(crm_provider=slug, crm_object_type__in=types, crm_record_id=term)
    return found
