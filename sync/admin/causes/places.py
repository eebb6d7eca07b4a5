"""Where a cause is mended: the button that leads from it to the mapping row, the connection or wherever else."""

from dataclasses import dataclass

from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from integrations.admin_base import SECRET_COLUMNS
from integrations.admin_html import page_url
from integrations.models import CrmConnection
from mapping.models import FieldMapping
from sync.causes.counting import Pile
from sync.causes.words import CONNECTION, MAPPING, RECORDS, WAIT, Words, hint_of

PLACES: dict[str, tuple[str, Words]] = {}
"""Place of a hint → the name of its page in the admin and the words for the button. Apps above add theirs."""


@dataclass(frozen=True, slots=True)
class Button:
    words: str
    url: str


def button_of(pile: Pile) -> Button | None:
    """Of a cause that one tenant has: right to the row. Of one that several have: to the list."""
    place = hint_of(pile.cause).place
    if place == MAPPING:
        return _mapping(pile)
    if place in (CONNECTION, WAIT):
        return _connection(pile)
    if place == RECORDS:
        return Button(_("See the samples"), "#samples")
    return _elsewhere(place)


def _mapping(pile: Pile) -> Button:
    cause = pile.cause
    rows = FieldMapping.objects.filter(crm_provider=cause.provider, is_active=True)
    rows = rows.filter(Q(crm_field__in=cause.fields) | Q(dialer_field__in=cause.fields))
    found = list(rows.filter(tenant=pile.shares[0].tenant)[:2]) if len(pile.shares) == 1 else []
    if len(found) == 1:
        return Button(_("Open the mapping row %(row)s") % {"row": found[0]}, page_url(found[0]))
    return Button(
        _("Open the field mappings"), page_url(FieldMapping, "changelist", crm_provider__exact=cause.provider)
    )


def _connection(pile: Pile) -> Button:
    rows = CrmConnection.objects.filter(provider=pile.cause.provider).defer(*SECRET_COLUMNS)
    found = rows.filter(tenant=pile.shares[0].tenant).first() if len(pile.shares) == 1 else None
    if found is not None:
        return Button(_("Open the connection"), page_url(found))
    return Button(_("Open the connections"), page_url(CrmConnection, "changelist", provider__exact=pile.cause.provider))


def _elsewhere(place: str) -> Button | None:
    if place not in PLACES:
        return None
    name, words = PLACES[place]
    try:
        return Button(str(words), reverse(f"admin:{name}"))
    except NoReverseMatch:
        return None
