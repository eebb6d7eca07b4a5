"""The pages of rehearsals: edit a draft of the mapping, try it on what is known of the records, put it in force or drop it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, TenantScopedAdmin, page_action
from integrations.admin_html import ago_column, badge_column, link, page_url, progress
from mapping.fields import field_name
from mapping.models import ConflictPolicy, FieldMapping, MappingDraft
from sync import promoting, rehearsing, snapshots
from sync.admin.draft_forms import DraftPolicyForm, DraftRowForm, RehearsalForm, policy_of, row_of
from sync.admin.editor.urls import editor_url
from sync.admin.jobs import BY_CONNECTION
from sync.admin.rehearsal_panels import panels_of
from sync.admin.stories import person_name
from sync.drafts import concerned
from sync.models import Rehearsal, SyncRun
from sync.rehearsing import Refused

CHANGE = "sync.change_rehearsal"
PROMOTE = "mapping.change_fieldmapping"
Status = Rehearsal.Status
LEVELS = {
    "draft": "muted", "running": "info", "ready": "warning", "failed": "bad", "promoted": "good", "discarded": "muted",
}  # fmt: skip
STATE = badge_column("status", gettext_lazy("status"), LEVELS)
OFFERED: dict[str, tuple[str, ...]] = {
    "rehearse": (Status.DRAFT, Status.FAILED),
    "add_row": (Status.DRAFT,),
    "change_policy": (Status.DRAFT,),
    "edit_mapping": (Status.DRAFT, Status.READY, Status.FAILED),
    "stop": (Status.RUNNING,),
    "promote": (Status.READY,),
    "change_draft": (Status.READY, Status.FAILED),
    "discard": (Status.DRAFT, Status.READY, Status.FAILED),
}
"""Button → when it is offered. Pages that a row's links lead to are no buttons."""


class RehearsalAdmin(TenantScopedAdmin):
    form = RehearsalForm
    list_display = (
        "what", "connection", STATE, "bar", "would_change", "created_by", ago_column("created_at", gettext_lazy("created")),
    )  # fmt: skip
    list_filter = ("status", BY_CONNECTION)
    list_select_related = ("connection",)
    ordering = ("-created_at", "-pk")
    autocomplete_fields = ("connection",)
    actions_detail = (*OFFERED, "change_row", "remove_row")
    fields: ClassVar[Any] = (
        "connection", "created_by", ago_column("created_at", gettext_lazy("begun")),
        ago_column("promoted_at", gettext_lazy("put in force")),
    )  # fmt: skip
    change_form_outer_before_template = "admin/rehearsal_head.html"
    nothing_yet = gettext_lazy(
        "Nothing was rehearsed yet. A rehearsal shows what another mapping or conflict policy would do, before it does it."
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # --- showing --------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("rehearsal"))
    def what(self, row: Rehearsal) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("progress"))
    def bar(self, row: Rehearsal) -> str:
        return progress(row.done, row.total, _("Records tried"))

    @admin.display(description=gettext_lazy("would change"))
    def would_change(self, row: Rehearsal) -> int:
        return int(row.counts.get("updated", 0))

    def next_step(self, row: Rehearsal) -> str:
        if row.status == Status.DRAFT and not _is_known(row):
            return link(page_url(row.connection), rehearsing.NO_SNAPSHOTS)
        if row.status == Status.PROMOTED:
            runs = page_url(SyncRun, "changelist", kind__exact=SyncRun.Kind.SNAPSHOTS)
            return link(runs, _("It is in force. The runs show how far its fields are."))
        return str(WORDS[row.status])

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        return panels_of(row, may_edit=request.user.has_perm(CHANGE))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Rehearsal = self.found(request, object_id)
        head = self._head(row)
        if "X-Live" in request.headers:  # the page asks for this piece again (see live.js)
            return HttpResponse(render_to_string("admin/rehearsal_head.html", head, request))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **head})

    def _head(self, row: Rehearsal) -> dict[str, Any]:
        """How far it is, and what comes next."""
        running = row.status == Status.RUNNING
        tried = row.status not in (Status.DRAFT, Status.FAILED, Status.DISCARDED)
        told = {"done": f"{row.done:,}", "total": f"{row.total:,}", "changed": f"{row.counts.get('updated', 0):,}"}
        return {
            "rehearsal": row,
            "running": running,
            "level": LEVELS[row.status],
            "expected": row.total if tried else 0,
            "numbers": _("%(done)s of %(total)s records tried, %(changed)s would change") % told if tried else "",
            "next_step": self.next_step(row),
        }

    # --- beginning ------------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ["connection", "policy_too", "version"]})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return super().get_readonly_fields(request, obj) if obj else []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        given = request.GET
        return {
            "connection": given.get("connection"),
            "version": given.get("version"),
            "policy_too": bool(given.get("policy")),
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.created_by = person_name(request)
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return self.answer(request, obj, _("This is your draft. Nothing of it is in force."))

    # --- buttons --------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if row is not None and row.status in OFFERED.get(one.path, ())]

    @page_action(gettext_lazy("Rehearse"), icon="science", permission=CHANGE)
    def rehearse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Rehearsal = self.found(request, object_id)
        question = Question(
            title=_("Try this draft?"),
            lines=[
                _(
                    "It runs in the background over what is known of the records. Nothing is changed, here or in the CRM."
                ),
            ],
            button=_("Rehearse"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if row.status not in OFFERED["rehearse"]:
            return self._not_now(request, row)
        try:
            rehearsing.start(row)
        except Refused as error:
            return self.answer(request, row, str(error), messages.ERROR)
        return self.answer(request, row, _("It is running. This page shows how far it is."))

    @page_action(gettext_lazy("Stop"), icon="stop", permission=CHANGE)
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(title=_("Stop this rehearsal?"), lines=[_("The draft stays.")], button=_("Stop"))
        page = self.ask(request, row, question)
        return page or self._moved(request, row, rehearsing.cancel(row), _("Stopped. The draft is as it was."))

    @page_action(gettext_lazy("Promote"), icon="publish", permission=PROMOTE)
    def promote(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Rehearsal = self.found(request, object_id)
        page = self.ask(request, row, _promotion(row))
        if page:
            return page
        try:
            promoting.promote(row, by=person_name(request), user_id=request.user.pk)
        except Refused as error:
            return self.answer(request, row, str(error), messages.ERROR)
        self.log_change(request, row, "Promoted.")
        return self.answer(request, row, _("It is in force. The affected fields are being brought up to date."))

    @page_action(gettext_lazy("Change draft"), icon="edit", permission=CHANGE)
    def change_draft(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Change this draft?"),
            lines=[_("The results are about the present draft, and go. Rehearse again when it is changed.")],
            button=_("Change draft"),
        )
        page = self.ask(request, row, question)
        return page or self._moved(request, row, rehearsing.reopen(row), _("You can change the draft now."))

    @page_action(gettext_lazy("Open in the mapping editor"), icon="compare_arrows", permission=PROMOTE)
    def edit_mapping(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The editor shows first what differs; a draft of one's own that has these rows already is simply opened."""
        row: Rehearsal = self.found(request, object_id)
        own = MappingDraft.objects.filter(rehearsal=row.pk, user_id=request.user.pk).exists()
        return redirect(
            editor_url(row.connection) if own else editor_url(row.connection, "editor_begin", rehearsal=row.pk)
        )

    @page_action(gettext_lazy("Discard"), icon="delete", permission=CHANGE, danger=True)
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        lines = [_("Its numbers stay in the list, its examples go. Nothing else is touched.")]
        question = Question(title=_("Discard this rehearsal?"), lines=lines, button=_("Discard"), danger=True)
        page = self.ask(request, row, question)
        return page or self._moved(request, row, rehearsing.discard(row), _("Discarded."))

    def _moved(self, request: HttpRequest, row: Rehearsal, moved: bool, words: str) -> HttpResponse:
        return self.answer(request, row, words) if moved else self._not_now(request, row)

    def _not_now(self, request: HttpRequest, row: Rehearsal) -> HttpResponse:
        row.refresh_from_db(fields=["status"])
        words = _("Nothing was changed: it is %(state)s.") % {"state": row.get_status_display()}
        return self.answer(request, row, words, messages.WARNING)

    # --- the draft ------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Add a row"), icon="add", permission=CHANGE)
    def add_row(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._edit_row(request, self.found(request, object_id), "")

    @page_action(gettext_lazy("Change a row"), icon="edit", permission=CHANGE)
    def change_row(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._edit_row(request, self.found(request, object_id), request.GET.get("field", ""))

    @page_action(gettext_lazy("Remove a row"), icon="delete", permission=CHANGE)
    def remove_row(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Rehearsal = self.found(request, object_id)
        field = request.GET.get("field", "")
        question = Question(
            title=_("Remove %(field)s from the draft?") % {"field": field_name(field)},
            lines=[
                _("Once that is in force the field is no longer kept the same. Its present values stay on both sides.")
            ],
            button=_("Remove"),
        )
        page = self.ask(request, row, question)
        rows = [one for one in row.rows if one["dialer_field"] != field]
        return page or self._moved(request, row, rehearsing.redraft(row, rows=rows), _("Removed from the draft."))

    @page_action(gettext_lazy("Conflict policy"), icon="gavel", permission=CHANGE)
    def change_policy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Rehearsal = self.found(request, object_id)
        form = self._form(request, ConflictPolicy, DraftPolicyForm, policy_of(row))
        if not form.is_valid():
            return self._form_page(request, row, form, _("Conflict policy of the draft"))
        policy = {"default": form.instance.default, "overrides": form.instance.overrides}
        return self._moved(request, row, rehearsing.redraft(row, policy=policy), _("The draft has this policy now."))

    def _edit_row(self, request: HttpRequest, row: Rehearsal, field: str) -> HttpResponse:
        known = {one["dialer_field"] for one in row.rows}
        was = field if field in known else ""
        made = type("RowForm", (DraftRowForm,), {"rehearsal": row, "was": was})
        form = self._form(request, FieldMapping, made, row_of(row, was))
        if not form.is_valid():
            title = _("Change %(field)s") % {"field": field_name(was)} if was else _("A new row")
            return self._form_page(request, row, form, title)
        return self._moved(request, row, rehearsing.redraft(row, rows=form.changed_rows()), _("The draft is changed."))

    def _form(self, request: HttpRequest, model: Any, form: Any, instance: Any) -> Any:
        """The form with the admin's own widgets."""
        styled = modelform_factory(
            model, form=form, formfield_callback=partial(self.formfield_for_dbfield, request=request)
        )
        return styled(request.POST if request.method == "POST" else None, instance=instance)

    def _form_page(self, request: HttpRequest, row: Rehearsal, form: forms.BaseForm, title: str) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "lines": [_("This changes the draft only. Nothing of it is in force.")],
            "button": _("Keep in the draft"),
            "form": form,
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/ask_value.html", context)


def _is_known(row: Any) -> bool:
    """Whether there are snapshots to try it on. The theme asks several times for one page."""
    if not hasattr(row, "is_known"):
        row.is_known = snapshots.any_of(concerned(row))
    return bool(row.is_known)


WORDS: dict[str, Any] = {
    Status.DRAFT: gettext_lazy("Change the draft below, then rehearse it. Nothing of it is in force."),
    Status.RUNNING: gettext_lazy("It is being tried. This page keeps itself up to date, and you may leave it."),
    Status.READY: gettext_lazy("Look at what it would do. Then promote it, change the draft, or discard it."),
    Status.FAILED: gettext_lazy("It could not be tried. Change the draft, then rehearse it again."),
    Status.DISCARDED: gettext_lazy("It was discarded. Begin another one from the field mappings."),
}


def _promotion(row: Rehearsal) -> Question:
    counts = row.counts
    facts = {"updated": f"{counts.get('updated', 0):,}", "open": f"{counts.get('open', 0):,}", "total": f"{row.done:,}"}
    lines = [
        _("%(updated)s of %(total)s records change, and %(open)s conflicts wait for a person afterwards.") % facts,
        _("Only the fields that differ from now are moved, in the background. What people edit meanwhile is kept."),
        _("The present mapping stays among the versions and comes back with one click."),
    ]
    return Question(title=_("Put this in force?"), lines=lines, button=_("Promote"))
