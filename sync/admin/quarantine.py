"""The pages of quarantined fields: why a field isn't written to the CRM any more, and letting it be written again."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import ago_column, badge, page_link, plain
from mapping.fields import field_name
from sync import loops, values
from sync.admin.in_turn import InTurn, marked_pair
from sync.admin.stories import FieldFilter, person_name, story_panel
from sync.models import Quarantine


class ReleasedFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", _("Not written")), ("released", _("Released"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"held", "released"}:
            return queryset
        return queryset.filter(released_at__isnull=self.value() == "held")


class QuarantineAdmin(InTurn, ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what", "person", "record", "state", "we_wrote", "crm_made", "bounces", ago_column("since", gettext_lazy("since")),
    )  # fmt: skip
    list_filter = (ReleasedFilter, FieldFilter, ("record__connection", AutocompleteSelectFilter))
    list_select_related = ("contact", "record")
    exact_search = ("contact_id",)
    search_help_text = gettext_lazy("The contact's whole id")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "what", "contact", "record", "state", "reason", "bounces", "since", "released_at", "released_by",
    )  # fmt: skip
    only_if_filled = ("released_at", "released_by")
    waiting: ClassVar[Any] = {"released_at": None}
    actions_list = ("in_turn",)
    actions_detail = ("release", "skip")
    nothing_yet = gettext_lazy(
        "No field is held back. A field that both sides keep changing in turn is no longer written to the CRM, and is listed here."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("record__base", "record__metadata")

    @admin.display(description=gettext_lazy("field"), ordering="field")
    def what(self, row: Quarantine) -> str:
        return field_name(row.field)

    @admin.display(description=gettext_lazy("contact"), ordering="contact__last_name")
    def person(self, row: Quarantine) -> str:
        return page_link(row.contact)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Quarantine) -> str:
        return badge(_("Released"), "good") if row.released_at else badge(_("Not written"), "bad")

    @admin.display(description=gettext_lazy("what we wrote"))
    def we_wrote(self, row: Quarantine) -> str:
        return plain(row.ours)

    @admin.display(description=gettext_lazy("what the CRM made of it"))
    def crm_made(self, row: Quarantine) -> str:
        return plain(row.theirs)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        return [_sides(row), story_panel(row.contact, row.field)]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.released_at is None else []

    @page_action(gettext_lazy("Release"), icon="lock_open", permission="sync.change_quarantine")
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Quarantine = self.found(request, object_id)
        facts = {"field": field_name(row.field), "crm": row.record.get_crm_provider_display()}
        question = Question(
            title=_("Write this field again?"),
            lines=[
                _("%(field)s of this person is written to %(crm)s again, as the dialer holds it now.") % facts,
                _("If the CRM turns it back twice more within an hour, it is held back again."),
            ],
            button=_("Release"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if loops.release(row, person_name(request)):
            return self.go_on(request, row, _("Released. The dialer's value is on its way to the CRM."))
        return self.answer(request, row, _("It was released already."), messages.INFO)


def _sides(row: Quarantine) -> Panel:
    """What we wrote beside what came of it, and what releasing would write now."""
    crm = row.record.get_crm_provider_display()
    now = values.read(row.contact, [row.field])[row.field]
    wrote, made = marked_pair(*("" if one is None else plain(one) for one in (row.ours, row.theirs)))
    headers = [_("We wrote"), _("%(crm)s made of it") % {"crm": crm}, _("The dialer holds now")]
    return Panel(_("Both sides"), headers, [[wrote, made, plain(now)]], "")
