"""The contact's page and the search for contacts. The topmost app registers it, with what it adds to the page."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import phonenumbers
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, TenantScopedAdmin
from integrations.admin_html import (
    NOTHING,
    ago,
    ago_column,
    badge,
    badge_column,
    code_column,
    outward,
    page_link,
    page_url,
    plain,
)
from integrations.models import Tenant
from integrations.registry import PROVIDERS, provider_class
from sync import editing
from sync.admin_contact_form import EDITABLE, SEEN, ContactForm
from sync.admin_stories import values_panel
from sync.folding import FOLDED
from sync.models import Contact, FieldChange, SyncRecord

CONTACTS = Contact._meta.db_table
RECORD_LEVELS = {"synced": "good", "pending": "warning", "error": "bad", "conflict": "bad"}
RECORD_STATUS = badge_column("sync_status", gettext_lazy("status"), RECORD_LEVELS)
SHORTEST_PHONE = 5
"""Digits from which a text may be a phone number."""
LONGEST_HISTORY = 50


class DeletedFilter(admin.SimpleListFilter):
    title = gettext_lazy("presence")
    parameter_name = "presence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("here", _("Not deleted")), ("deleted", _("Deleted in the CRM"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "here":
            return queryset.filter(deleted_at=None)
        return queryset.exclude(deleted_at=None) if self.value() == "deleted" else queryset


class ContactAdmin(TenantScopedAdmin):
    """What our side may change is changed here as anywhere else: with its history, and on to the CRMs."""

    form = ContactForm
    list_display = (
        "name", "company", "phone", "email", "lead_status", "do_not_call_badge",
        ago_column("last_called_at", gettext_lazy("last called")), ago_column("updated_at", gettext_lazy("changed")),
    )  # fmt: skip
    list_filter = ("do_not_call", DeletedFilter)
    search_fields = ("email",)
    search_help_text = gettext_lazy("Name, whole e-mail, phone, or CRM id")
    # As in the index by name, tenants first, so that support's list of all tenants comes sorted from it, too.
    ordering = ("tenant_id", "last_name", "first_name", "pk")
    fieldsets = (
        (None, {"fields": (("first_name", "last_name"), ("company", "title"), ("phone", "mobile_phone"), "email")}),
        (
            gettext_lazy("Dialing"),
            {
                "fields": (
                    ("do_not_call", "lead_status"),
                    ("owner_email", "ai_score"),
                    ("call_count", "last_called_at"),
                    "last_disposition",
                )
            },
        ),
        (
            gettext_lazy("Record"),
            {"fields": ("custom_fields", ("created_at", "updated_at"), ("version", "deleted_at"))},
        ),
    )
    custom_fields = staticmethod(code_column("custom", gettext_lazy("custom fields")))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shown = [name for name in flatten_fieldsets(self.fieldsets) if name not in EDITABLE]
        return [*super().get_readonly_fields(request, obj), *shown]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        (title, first), *others = super().get_fieldsets(request, obj)
        hidden = [SEEN] if obj is not None and self.has_change_permission(request, obj) else []
        return [(title, {**first, "fields": [*first["fields"], *hidden]}), *others]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        author = editing.Author("person", request.user.get_username())
        try:
            editing.edit(obj.pk, form.edits(), author, expected_version=form.cleaned_data[SEEN])
        except editing.VersionMismatch as error:
            self.message_user(request, f"{error} {_('Nothing was saved.')}", messages.ERROR)

    @admin.display(description=gettext_lazy("name"), ordering="last_name")
    def name(self, row: Contact) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("do not call"), ordering="do_not_call")
    def do_not_call_badge(self, row: Contact) -> str:
        return badge(_("Do not call"), "bad") if row.do_not_call else NOTHING

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching(search_term.strip())) if search_term.strip() else queryset), False

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        return [records_panel(row), values_panel(row), history_panel(row)]


# --- the search: each branch asks for what an index can answer -------------------------------------------------------------------


def matching(term: str) -> Q:
    """Contacts that a text may mean: an e-mail, else a CRM's id, else a phone number, else the beginning of a name."""
    if "@" in term:
        return Q(email__in={term, term.lower()})
    linked = _linked(term)
    if linked:
        return Q(pk__in=linked)
    if sum(char.isdigit() for char in term) >= SHORTEST_PHONE and not any(char.isalpha() for char in term):
        numbers = phone_candidates(term, Tenant.objects.values_list("region", flat=True).distinct())
        return Q(phone__in=numbers) | Q(mobile_phone__in=numbers)
    return _by_name(term)


def phone_candidates(term: str, regions: Iterable[str]) -> list[str]:
    """The number in E.164, read as each of these countries would."""
    found = set()
    for region in regions:
        try:
            number = phonenumbers.parse(term, region)
        except phonenumbers.NumberParseException:
            continue
        found.add(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return sorted(found)


def _by_name(term: str) -> Q:
    """A first or last name's beginning, or the beginnings of both in either order."""
    found = Q(last_name__istartswith=term) | Q(first_name__istartswith=term)
    one, _space, other = term.partition(" ")
    if other:
        found |= Q(first_name__istartswith=one, last_name__istartswith=other.strip())
        found |= Q(last_name__istartswith=one.rstrip(","), first_name__istartswith=other.strip())
    return found


def _linked(term: str) -> set[UUID]:
    """The contacts with this record id in any CRM."""
    if any(char.isspace() for char in term):
        return set()
    links = SyncRecord.objects.filter(with_crm_id(term), local_table=CONTACTS)
    return {one for one in links.values_list("local_record_id", flat=True)[:50] if one}


def with_crm_id(term: str) -> Q:
    """Links to the record with this id. Every part of their index is named, else it would be read from end to end."""
    found = Q(pk__in=())
    for slug in PROVIDERS:
        provider = provider_class(slug)
        types = [*provider.person_types, provider.call_type]
        found |= Q(crm_provider=slug, crm_object_type__in=types, crm_record_id=term)
    return found


# --- tables below the contact ------------------------------------------------------------------------------------------


def records_panel(contact: Contact) -> Panel:
    links = SyncRecord.objects.filter(local_record_id=contact.pk, local_table=CONTACTS).order_by("crm_provider", "pk")
    rows = [
        [
            one.get_crm_provider_display(),
            one.crm_object_type,
            outward(one.url, one.crm_record_id),
            RECORD_STATUS(one),
            ago(one.last_synced_at),
            page_link(one, _("Details")),
        ]
        for one in links
    ]
    headers = [_("CRM"), _("Object"), _("Open in the CRM"), _("State"), _("Last synced"), _("Link")]
    return Panel(_("In the CRMs"), headers, rows, _("This contact is in no connected CRM."))


def history_panel(contact: Contact) -> Panel:
    changes = FieldChange.objects.filter(contact=contact).order_by("-pk")[:LONGEST_HISTORY]
    rows = [
        [ago(one.at), one.field, plain(one.old), plain(one.new), plain(_lost(one)), one.source, one.actor, one.rule]
        for one in changes
    ]
    headers = [_("When"), _("Field"), _("Before"), _("After"), _("Lost"), _("Set by"), _("Who"), _("Rule")]
    more = (page_url(FieldChange, "changelist", q=contact.pk), _("All changes"))
    return Panel(_("History"), headers, rows, _("No value has changed yet."), more)


def _lost(change: FieldChange) -> Any:
    """What undoing a merge needs is kept there too; it tells people nothing."""
    return None if change.field == FOLDED else change.lost
