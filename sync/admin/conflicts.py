"""The pages of conflicts: both sides next to what was agreed before, and the buttons that decide one or all that are alike."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import (
    Panel,
    Question,
    ReadOnlyAdmin,
    TenantScopedAdmin,
    page_action,
)
from integrations.admin_html import ago, ago_column, badge_column, link, page_link, page_url, plain
from mapping.fields import field_name
from sync import conflicts, stories
from sync.admin.desk import Desk, alike_lines, decided_words
from sync.admin.other_value import OtherValueForm
from sync.admin.stories import FieldFilter, person_name, story_panel
from sync.conflicts import Choice
from sync.models import Conflict, FieldChange

CONFLICT_LEVELS = {"open": "bad", "decided": "good"}
CONFLICT_STATUS = badge_column("status", gettext_lazy("status"), CONFLICT_LEVELS)
WINNERS = {
    "crm": gettext_lazy("the CRM's value"),
    "dialer": gettext_lazy("the dialer's value"),
    "both": gettext_lazy("both agree"),
    "other": gettext_lazy("another value"),
}
DECIDE = "sync.change_conflict"
DECIDING = ("keep_ours", "take_theirs", "another_value", "ours_for_all", "theirs_for_all")


class ConflictAdmin(Desk, ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("No field was changed on both sides to different values.")
    list_display = (
        "what",
        "person",
        "record",
        CONFLICT_STATUS,
        "was",
        "dialer",
        "crm",
        "kept",
        ago_column("created_at", gettext_lazy("found")),
    )
    list_filter = ("status", FieldFilter, "strategy", ("record__connection", AutocompleteSelectFilter))
    list_select_related = ("contact", "record")
    exact_search = ("contact_id",)
    search_help_text = gettext_lazy("The contact's whole id")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "what", "contact", "record", CONFLICT_STATUS, "strategy", "kept", "kept_value", "created_at", "decided_at", "decided_by",
    )  # fmt: skip
    actions_list = ("open_desk",)
    actions_detail = (*DECIDING, "undo")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("record__base", "record__metadata")

    @admin.display(description=gettext_lazy("field"), ordering="field")
    def what(self, row: Conflict) -> str:
        return field_name(row.field)

    @admin.display(description=gettext_lazy("contact"), ordering="contact__last_name")
    def person(self, row: Conflict) -> str:
        return page_link(row.contact)

    @admin.display(description=gettext_lazy("agreed before"))
    def was(self, row: Conflict) -> str:
        return plain(row.base)

    @admin.display(description=gettext_lazy("dialer"))
    def dialer(self, row: Conflict) -> str:
        return plain(row.ours)

    @admin.display(description="CRM")
    def crm(self, row: Conflict) -> str:
        return plain(row.theirs)

    @admin.display(description=gettext_lazy("kept"), ordering="winner")
    def kept(self, row: Conflict) -> str:
        return str(WINNERS.get(row.winner, row.winner))

    @admin.display(description=gettext_lazy("kept value"))
    def kept_value(self, row: Conflict) -> str:
        return plain(row.value)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        may_decide = row.status == Conflict.Status.OPEN and request.user.has_perm(DECIDE)
        return [_sides(row, may_decide=may_decide), story_panel(row.contact, row.field)]

    # --- deciding -------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        if row is None:
            return []
        if row.status == Conflict.Status.OPEN:
            return [one for one in offered if one.path != "undo"]
        return [one for one in offered if one.path == "undo" and row.decision_id]

    @page_action(gettext_lazy("Decide one by one"), icon="view_carousel", permission=DECIDE)
    def open_desk(self, request: HttpRequest) -> HttpResponse:
        return redirect(page_url(Conflict, "desk"))

    @page_action(gettext_lazy("Undo the decision"), icon="undo", permission=DECIDE)
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Conflict = self.found(request, object_id)
        if row.decision is None:
            return self.answer(request, row, _("Nobody decided this, so there is nothing to undo."), messages.INFO)
        return redirect(page_url(row.decision, "take_back"))

    @page_action(gettext_lazy("Keep the dialer's"), icon="call", permission=DECIDE)
    def keep_ours(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, Choice.OURS)

    @page_action(gettext_lazy("Take the CRM's"), icon="cloud_download", permission=DECIDE)
    def take_theirs(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, Choice.THEIRS)

    @page_action(gettext_lazy("Another value"), icon="edit", permission=DECIDE)
    def another_value(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Conflict = self.found(request, object_id)
        form = OtherValueForm(row, request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._form_page(request, row, form)
        decided = conflicts.resolve(row, Choice.OTHER, person_name(request), value=form.cleaned_data["value"])
        return self._said(request, row, decided)

    @page_action(gettext_lazy("All: dialer's"), icon="done_all", permission=DECIDE)
    def ours_for_all(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide_alike(request, object_id, Choice.OURS)

    @page_action(gettext_lazy("All: CRM's"), icon="done_all", permission=DECIDE)
    def theirs_for_all(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide_alike(request, object_id, Choice.THEIRS)

    def _decide(self, request: HttpRequest, object_id: str, choice: Choice) -> HttpResponse:
        row: Conflict = self.found(request, object_id)
        page = self.ask(request, row, _question(row, choice))
        if page:
            return page
        return self._said(request, row, conflicts.resolve(row, choice, person_name(request)))

    def _decide_alike(self, request: HttpRequest, object_id: str, choice: Choice) -> HttpResponse:
        row: Conflict = self.found(request, object_id)
        page = self.ask(request, row, _question_for_all(row, choice))
        if page:
            return page
        count = conflicts.resolve_alike(row, choice, person_name(request), user_id=request.user.pk)
        return self.answer(request, row, decided_words(row, choice, count))

    def _said(self, request: HttpRequest, row: Conflict, decided: bool) -> HttpResponse:
        if decided:
            return self.answer(request, row, _("Decided. Both sides get the value now."))
        return self.answer(request, row, _("This conflict was over already. Nothing was changed."), messages.INFO)

    def _form_page(self, request: HttpRequest, row: Conflict, form: forms.Form) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Another value for %(field)s") % {"field": field_name(row.field)},
            "lines": _both(row),
            "form": form,
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/ask_value.html", context)


def _both(row: Conflict) -> list[str]:
    return [
        _("Dialer: %(value)s") % {"value": plain(row.ours)},
        _("%(crm)s: %(value)s") % {"crm": row.record.get_crm_provider_display(), "value": plain(row.theirs)},
    ]


def _question(row: Conflict, choice: Choice) -> Question:
    crm = row.record.get_crm_provider_display()
    facts = {"crm": crm, "value": plain(row.ours if choice == Choice.OURS else row.theirs)}
    if choice == Choice.OURS:
        lines = [_("“%(value)s” stays here and is written to %(crm)s.") % facts]
        title, button = _("Keep the dialer's value?"), _("Keep the dialer's")
    else:
        lines = [
            _("“%(value)s” from %(crm)s is taken over here, and goes to the other CRMs that know this person.") % facts
        ]
        title, button = _("Take the CRM's value?"), _("Take the CRM's")
    lines.append(_("The other value stays in the history and can be restored from there."))
    return Question(title=title, lines=[*_both(row), *lines], button=button)


def _question_for_all(row: Conflict, choice: Choice) -> Question:
    lines = alike_lines(row, conflicts.alike(row).count())
    lines.append(_("The rule is then: %(rule)s.") % {"rule": conflicts.RULES[choice].label})
    title = _("Dialer's value for all like this?") if choice == Choice.OURS else _("CRM's value for all like this?")
    return Question(title=title, lines=lines, button=_("Decide all"), danger=True)


def _sides(row: Conflict, *, may_decide: bool) -> Panel:
    crm = row.record.get_crm_provider_display()
    last = FieldChange.objects.filter(contact=row.contact_id, field=row.field).exclude(
        source="crm", connection=row.record.connection_id
    )
    change = last.select_related("connection").order_by("-pk").first()
    ours_by = stories.who(change) if change else ""
    headers = ["", _("Agreed before"), _("Dialer"), crm]
    rows: list[list[object]] = [
        [_("Value"), plain(row.base), plain(row.ours), plain(row.theirs)],
        [_("Changed"), "", ago(row.ours_at), ago(row.theirs_at)],
        [_("By"), "", ours_by, _("somebody in %(crm)s") % {"crm": crm}],
    ]
    if may_decide:
        ways = {"another_value": _("Another value"), "keep_ours": _("Keep this"), "take_theirs": _("Take this")}
        rows.append([_("Decide"), *(link(page_url(row, page), words) for page, words in ways.items())])
    return Panel(_("Both sides"), headers, rows, "")
