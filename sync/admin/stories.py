"""The story of a value in the admin: a table for any page that is about a field, the page of a change, and the way back."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, RecentValues, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago, ago_column, badge, link, page_link, page_url, plain
from mapping.fields import field_name
from mapping.models import Strategy
from sync import stories, values
from sync.folding import FOLDED
from sync.models import Contact, FieldChange
from sync.times import CREATED

SOURCES: Mapping[str, Any] = {
    "crm": gettext_lazy("the CRM"),
    "api": gettext_lazy("the dialer"),
    "person": gettext_lazy("a person"),
    "call": gettext_lazy("a call"),
}


WHOLE: Mapping[str, Any] = {
    CREATED: gettext_lazy("New contact"),
    FOLDED: gettext_lazy("Merged into another"),
}
"""Changes that are of the whole contact."""


def change_name(field: str) -> str:
    """What a change of the history is about."""
    return str(WHOLE.get(field) or field_name(field))


def change_value(field: str, value: Any) -> str:
    if field == CREATED and isinstance(value, Mapping):
        return plain({field_name(name): one for name, one in value.items() if one not in ("", None, False)})
    return plain(value)


def source_name(source: str) -> str:
    return str(SOURCES.get(source, source))


def rule_name(rule: str) -> str:
    return str(Strategy(rule).label) if rule in Strategy.values else rule.replace("_", " ")


class FieldFilter(RecentValues):
    title = gettext_lazy("field")
    parameter_name = "field"
    named = staticmethod(change_name)


class SourceFilter(RecentValues):
    title = gettext_lazy("source")
    parameter_name = "source"
    named = staticmethod(source_name)


class RuleFilter(RecentValues):
    title = gettext_lazy("rule")
    parameter_name = "rule"
    named = staticmethod(rule_name)


def person_name(request: HttpRequest) -> str:
    """Who is at work, as the history names them."""
    return str(request.user.get_username())


def values_panel(contact: Contact, latest: Mapping[str, stories.Chapter] | None = None) -> Panel:
    """For a contact's page: what each field holds since when, who says so, and the way to its story."""
    rows = [
        [
            field_name(field),
            plain(one.value),
            ago(one.at),
            one.who,
            one.rule,
            link(_story_url(one.change, field), _("Story of %(field)s") % {"field": field_name(field)}),
        ]
        for field, one in (stories.latest(contact) if latest is None else latest).items()
    ]
    headers = [_("Field"), _("Value"), _("Since"), _("Set by"), _("Rule"), _("Story")]
    return Panel(_("Where the values come from"), headers, rows, _("No value has been noted yet."))


def story_panel(contact: Contact, field: str) -> Panel:
    rows = [[*_chapter(one), _ways_back(one, field)] for one in stories.story(contact, field)]
    headers = [_("When"), _("Value"), _("Before"), _("Lost"), _("Set by"), _("Rule"), _("Mapping"), _("Restore")]
    return Panel(_("Story of %(field)s") % {"field": field_name(field)}, headers, rows, _("Nothing is noted of it."))


def _chapter(one: stories.Chapter) -> list[object]:
    version = _("version %(number)s") % {"number": one.version} if one.version else ""
    return [ago(one.at), plain(one.value), plain(one.was), plain(one.lost), one.who, one.rule, version]


def _ways_back(one: stories.Chapter, field: str) -> object:
    if not stories.restorable(field):
        return ""
    query: dict[str, object] = {"field": field} if one.change.field == CREATED else {}
    if one.lost is not None:
        return link(page_url(one.change, "restore", lost=1, **query), _("Restore what lost"))
    if one.current:
        return badge(_("Current"), "good")
    return link(page_url(one.change, "restore", **query), _("Restore"))


def _story_url(change: FieldChange, field: str) -> str:
    return page_url(change, field=field) if change.field == CREATED else page_url(change)


class FieldChangeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No value was changed yet. Each change of a contact stands here, with who made it.")
    list_display = (
        "field_words",
        "person",
        "before",
        "after",
        "loser",
        "source_words",
        "actor",
        "rule_words",
        ago_column("at", gettext_lazy("when")),
    )
    list_filter = (SourceFilter, RuleFilter, FieldFilter)
    list_select_related = ("contact",)
    exact_search = ("contact_id",)
    search_help_text = gettext_lazy("The contact's whole id")
    ordering = ("-pk",)
    actions_detail = ("restore",)
    fields: ClassVar[Any] = (
        "contact",
        "field_words",
        "before",
        "after",
        "loser",
        "source_words",
        "actor",
        "rule_words",
        "connection",
        "run",
        "mapping_version",
        "at",
    )
    only_if_filled = ("loser", "actor", "rule_words", "connection", "run", "mapping_version")

    @admin.display(description=gettext_lazy("field"), ordering="field")
    def field_words(self, row: FieldChange) -> str:
        return change_name(row.field)

    @admin.display(description=gettext_lazy("set by"), ordering="source")
    def source_words(self, row: FieldChange) -> str:
        return source_name(row.source)

    @admin.display(description=gettext_lazy("rule"), ordering="rule")
    def rule_words(self, row: FieldChange) -> str:
        return rule_name(row.rule) or NOTHING

    @admin.display(description=gettext_lazy("contact"), ordering="contact__last_name")
    def person(self, row: FieldChange) -> str:
        return page_link(row.contact)

    @admin.display(description=gettext_lazy("before"))
    def before(self, row: FieldChange) -> str:
        return change_value(row.field, row.old)

    @admin.display(description=gettext_lazy("after"))
    def after(self, row: FieldChange) -> str:
        return change_value(row.field, row.new)

    @admin.display(description=gettext_lazy("value that lost"))
    def loser(self, row: FieldChange) -> str:
        return plain(None if row.field == FOLDED else row.lost)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        field = _field_of(request, row)
        return [values_panel(row.contact)] if field == CREATED else [story_panel(row.contact, field)]

    # --- going back -----------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and stories.restorable(_field_of(request, row)) else []

    @page_action(gettext_lazy("Restore this value"), icon="undo", permission="sync.change_contact")
    def restore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: FieldChange = self.found(request, object_id)
        field, lost = _field_of(request, row), bool(request.GET.get("lost"))
        if not stories.restorable(field):
            raise Http404("This field is not set by people.")
        old, now = stories.value_of(row, field, lost=lost), values.read(row.contact, [field])[field]
        if old == now:
            words = _("%(field)s of %(contact)s is “%(now)s” already. There is nothing to restore.")
            facts = {"field": field_name(field), "contact": row.contact, "now": plain(now)}
            return self.answer(request, row, words % facts, messages.INFO)
        page = self.ask(request, row, _restore_question(row, field, old, now))
        if page:
            return page
        contact = stories.restore(row, person_name(request), field=field, lost=lost)
        if contact is None:
            return self.answer(request, row, _("The contact is deleted. Nothing was changed."), messages.WARNING)
        self.message_user(request, _("Restored. The change is on its way to the CRMs."), messages.SUCCESS)
        return redirect(page_url(contact))


def _field_of(request: HttpRequest, row: FieldChange) -> str:
    return request.GET.get("field", "") if row.field == CREATED and request.GET.get("field") else str(row.field)


def _restore_question(row: FieldChange, field: str, old: Any, now: Any) -> Question:
    contact = row.contact
    facts = {"field": field_name(field), "contact": str(contact), "old": plain(old), "now": plain(now)}
    places = [
        f"{one.get_crm_provider_display()} {one.crm_object_type} {one.crm_record_id}"
        for one in stories.destinations(contact, field)
    ]
    written = _("It is then written to: %(places)s.") % {"places": ", ".join(places)}
    lines = [
        _("%(field)s of %(contact)s becomes “%(old)s” here. Now it is “%(now)s”.") % facts,
        written if places else _("No CRM receives this field of this contact, so it changes only here."),
        _("The present value stays in the history."),
    ]
    return Question(title=_("Restore this value?"), lines=lines, button=_("Restore"))
