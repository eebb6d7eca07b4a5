"""The pages of undos: work out what taking back a run or a mapping version would do, look at it, do it, see what was left."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import tenancy
from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago_column, badge_column, bullets, page_link, page_url, progress
from mapping.fields import field_name
from mapping.models import MappingVersion
from sync.admin import undo_panels
from sync.admin.jobs import BY_CONNECTION
from sync.admin.stories import person_name
from sync.models import SyncRun, Undo
from sync.rehearsing import Refused
from sync.undoing import undos

VIEW, ADD, CHANGE = "sync.view_undo", "sync.add_undo", "sync.change_undo"
CHANGE_MAPPING = "mapping.change_fieldmapping"
LONGEST_NUMBER = 19
Status = Undo.Status
STATE = badge_column(
    "status",
    gettext_lazy("state"),
    {"planning": "info", "ready": "warning", "running": "info", "done": "good", "failed": "bad", "discarded": "muted"},
)


class UndoAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what", "connection", STATE, "bar", "restored", "left", "created_by", ago_column("created_at", gettext_lazy("begun")),
    )  # fmt: skip
    list_filter = ("status", BY_CONNECTION)
    list_select_related = ("connection",)
    ordering = ("-created_at", "-pk")
    actions_detail = ("download", "discard", "carry_out")
    fields: ClassVar[Any] = (
        "connection", "target", "goes_back_to", "only_fields", "created_by", "begun_at", "finished_at", "own_run",
    )  # fmt: skip
    only_if_filled = ("goes_back_to", "only_fields", "begun_at", "finished_at", "own_run")
    change_form_outer_before_template = "admin/undo_head.html"
    nothing_yet = gettext_lazy(
        "Nothing was undone yet. Open a sync run or a mapping version and press “Undo”: first you see what would happen."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(ADD))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related("tenant", "connection", "of_run__connection", "of_version", "back_to", "run")

    # --- showing --------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("what is undone"))
    def what(self, row: Undo) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("looked at"))
    def bar(self, row: Undo) -> str:
        return progress(row.done, row.total, _("Values looked at"))

    @admin.display(description=gettext_lazy("restored"))
    def restored(self, row: Undo) -> str:
        return f"{row.counts.get('done', 0):,}" if row.run_id else NOTHING

    @admin.display(description=gettext_lazy("left as it is"))
    def left(self, row: Undo) -> str:
        return f"{row.counts.get('skipped', 0):,}"

    @admin.display(description=gettext_lazy("what is undone"))
    def target(self, row: Undo) -> str:
        found = row.of_version or row.of_run
        return page_link(found) if found else NOTHING

    @admin.display(description=gettext_lazy("goes back to"))
    def goes_back_to(self, row: Undo) -> str:
        return page_link(row.back_to) if row.back_to else NOTHING

    @admin.display(description=gettext_lazy("fields of the mapping that go back"))
    def only_fields(self, row: Undo) -> str:
        return bullets(field_name(one) for one in row.fields)

    @admin.display(description=gettext_lazy("its own run"))
    def own_run(self, row: Undo) -> str:
        return page_link(row.run) if row.run else NOTHING

    def panels(self, request: HttpRequest, row: Any) -> list[Panel]:
        return undo_panels.panels(row)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Undo = self.found(request, object_id)
        may = request.user.has_perm(CHANGE) and (row.back_to_id is None or request.user.has_perm(CHANGE_MAPPING))
        head = {**undo_panels.head(row), "may_change": may}
        if "X-Live" in request.headers:  # the page asks for this piece again (see live.js)
            return HttpResponse(render_to_string("admin/undo_head.html", head, request))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **head})

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons stand with the plan."""
        return []

    # --- beginning ------------------------------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if not request.GET.keys() & {"run", "version"}:
            return self._choose(request)
        target = self._target(request)
        made_version = undos.version_of(target) if isinstance(target, SyncRun) else target
        if made_version is not None and not request.user.has_perm(CHANGE_MAPPING):
            raise PermissionDenied
        page = self.ask(request, target, _question(target, made_version))
        if page:
            return page
        try:
            planned = (
                undos.plan_version(target, person_name(request))
                if isinstance(target, MappingVersion)
                else undos.plan_run(target, person_name(request))
            )
        except Refused as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(page_url(target))
        self.log_addition(request, planned, "Planned.")
        return redirect(page_url(planned))

    def _choose(self, request: HttpRequest) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "title": _("Undo"), "opts": self.opts}
        context |= {
            "runs": page_url(SyncRun, "changelist"),
            "versions": page_url(MappingVersion, "changelist"),
            "back": page_url(Undo, "changelist"),
        }
        return TemplateResponse(request, "admin/undo_choose.html", context)

    def _target(self, request: HttpRequest) -> SyncRun | MappingVersion:
        name, model = ("version", MappingVersion) if "version" in request.GET else ("run", SyncRun)
        given = request.GET.get(name, "")
        known = int(given) if given.isdigit() and len(given) < LONGEST_NUMBER else 0
        rows: Any = model._default_manager.filter(pk=known)
        found = (rows.select_related("connection__tenant") if model is SyncRun else rows).first()
        if found is None:
            raise Http404("There is nothing of that number to undo.")
        return found  # type: ignore[no-any-return]

    # --- acting ---------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Undo"), icon="undo", permission=CHANGE)
    def carry_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Undo = self.found(request, object_id)
        if row.back_to_id and not request.user.has_perm(CHANGE_MAPPING):
            raise PermissionDenied
        question = Question(_("Undo %(what)s?") % {"what": row}, undo_panels.sentences(row), _("Undo"))
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            undos.carry_out(row, person_name(request), user_id=request.user.pk)
        except Refused as error:
            return self.answer(request, row, str(error), messages.ERROR)
        self.log_change(request, row, "Carried out.")
        return self.answer(request, row, _("It is being undone. This page shows how far it is."))

    @page_action(gettext_lazy("Discard"), icon="delete", permission=CHANGE)
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Undo = self.found(request, object_id)
        question = Question(
            title=_("Discard this plan?"),
            lines=[_("Nothing was changed by it. You can have another one worked out at any time.")],
            button=_("Discard"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if undos.discard(row):
            return self.answer(request, row, _("Discarded. Nothing was changed."))
        return self.answer(request, row, _("It can't be discarded any more."), messages.WARNING)

    @page_action(gettext_lazy("Download the list"), icon="download", permission=VIEW)
    def download(self, request: HttpRequest, object_id: str) -> StreamingHttpResponse:
        row: Undo = self.found(request, object_id)
        lines = undo_panels.csv_lines(row, tenancy.current_scope())
        answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="undo-{row.created_at:%Y-%m-%d}.csv"'
        return answer


def _question(target: SyncRun | MappingVersion, version: MappingVersion | None) -> Question:
    first = (
        _("It is worked out what going back to the version before %(version)s would do, on both sides.") % {"version": version}
        if version is not None
        else _("It is worked out what this run changed, here and in the CRMs, and who edited what since.")
    )  # fmt: skip
    lines = [
        first,
        _("The CRMs are asked for the records concerned. Nothing is changed before you have seen the plan and agreed."),
    ]
    if version is not None and isinstance(target, SyncRun):
        lines.insert(0, _("This run went back to an earlier mapping, so undoing it means undoing that version."))
    return Question(title=_("Undo %(what)s?") % {"what": target}, lines=lines, button=_("Work out the plan"))
