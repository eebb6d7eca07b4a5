"""The pages of runs, with the buttons that pause and resume them, and of the certificates that reconciliations issue."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago_column, badge, bullets, link, page_url
from mapping.fields import field_name
from sync import backfilling, promoting, pulling, reconciling
from sync.admin import progress
from sync.admin.jobs import BY_CONNECTION
from sync.models import Certificate, SyncRun, Undo
from sync.undoing import undos

CHANGE_RUN = "sync.change_syncrun"
JOB_KINDS = {
    SyncRun.Kind.RECONCILIATION.value: reconciling.KIND,
    SyncRun.Kind.BACKFILL.value: backfilling.KIND,
    SyncRun.Kind.SNAPSHOTS.value: promoting.KIND,
    SyncRun.Kind.UNDO.value: undos.KIND,
}
"""Kind of run → kind of the jobs that do it; pulls do the others."""
BESIDE_PROGRESS = frozenset({"pause", "resume"})


class SyncRunAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        "what",
        "connection",
        "bar",
        "created",
        "updated",
        "unchanged",
        "skipped",
        "errored",
        "version",
        ago_column("started_at", gettext_lazy("started")),
    )
    list_filter = ("status", "kind", BY_CONNECTION)
    list_select_related = ("connection",)
    ordering = ("-started_at", "-pk")
    actions_detail: ClassVar[Any] = ("pause", "resume", "undo")
    fields: ClassVar[Any] = ("connection", "kind", "object_type", "only_fields", ("started_at", "finished_at"))
    change_form_outer_before_template = "admin/progress_head.html"
    nothing_yet = gettext_lazy(
        "There is no run like that. A run is one pass over the records of a CRM: a first load, a catch-up every few minutes, a "
        "nightly comparison, or a back-fill after the mapping was changed. “Sync now” on a connection's page starts one."
    )

    @admin.display(description=gettext_lazy("run"))
    def what(self, row: SyncRun) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("progress"), ordering="status")
    def bar(self, row: SyncRun) -> str:
        return progress.cell(row)

    @admin.display(description=gettext_lazy("mapping"), ordering="mapping_version")
    def version(self, row: SyncRun) -> str:
        address = progress.version_url(row)
        return link(address, f"v{row.mapping_version}") if address else NOTHING

    @admin.display(description=gettext_lazy("only these fields"))
    def only_fields(self, row: SyncRun) -> str:
        return bullets(map(field_name, row.fields_only))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.found(request, object_id)
        above = progress.head(row, may_change=request.user.has_perm(CHANGE_RUN))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "live_head": above})

    def get_custom_urls(self) -> Any:
        return (("progress/", "sync_syncrun_progress", self.progress_parts),)

    def progress_parts(self, request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """Pieces of pages that show runs in the making; they are asked for again while the runs go on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return progress.answer(request, may_change=request.user.has_perm(CHANGE_RUN))

    # --- buttons ---------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Those that pause and resume stand with the progress, where they change with it."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        row = self.get_object(request, str(object_id))
        going = row is None or row.status in (SyncRun.Status.RUNNING, SyncRun.Status.PAUSED)
        hidden = BESIDE_PROGRESS | {"undo"} if going else BESIDE_PROGRESS
        return [one for one in offered if one.path not in hidden]

    @page_action(gettext_lazy("Undo"), icon="undo", permission="sync.add_undo")
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """First it is worked out what that would do."""
        return redirect(page_url(Undo, "add", run=self.found(request, object_id).pk))

    @page_action(gettext_lazy("Pause"), icon="pause", permission=CHANGE_RUN)
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Pause %(run)s?") % {"run": row},
            lines=[
                _(
                    "It stops after the page at hand. What was read stays, and it goes on from there when it is resumed."
                ),
                _("Calls, edits and events of single records are not held up."),
            ],
            button=_("Pause"),
        )
        page = self.ask(request, row, question)
        return page or self._moved(request, row, pulling.pause(row), _("Paused. It waits until it is resumed."))

    @page_action(gettext_lazy("Resume"), icon="play_arrow", permission=CHANGE_RUN)
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Resume %(run)s?") % {"run": row},
            lines=[_("It goes on where it stopped, in the background.")],
            button=_("Resume"),
        )
        page = self.ask(request, row, question)
        kind = JOB_KINDS.get(row.kind, pulling.KIND)
        return page or self._moved(request, row, pulling.resume(row, kind), _("Resumed."))

    def _moved(self, request: HttpRequest, row: SyncRun, moved: bool, words: str) -> HttpResponse:
        if moved:
            self.log_change(request, row, words)
            return self.answer(request, row, words)
        row.refresh_from_db(fields=["status"])
        state = row.get_status_display()
        return self.answer(
            request, row, _("Nothing was changed: it is %(state)s.") % {"state": state}, messages.WARNING
        )


class CertificateAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "Nothing was compared as a whole yet. That happens every night, and proves that no record is missing."
    )
    list_display = (
        "object_type",
        "connection",
        "verdict",
        ago_column("as_of", gettext_lazy("as of")),
        "remote_count",
        "local_count",
        "were_missing",
        "were_stale",
        "were_gone",
        "repaired",
    )
    list_filter = ("complete", BY_CONNECTION)
    list_select_related = ("connection",)
    ordering = ("-pk",)
    actions_detail = ("compare_again",)
    fields: ClassVar[Any] = (
        "connection", "object_type", "verdict", "as_of", "remote_count", "local_count", "missing_ids", "stale_ids",
        "vanished_ids", "repaired", "run", "created_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("verdict"), ordering="complete")
    def verdict(self, row: Certificate) -> str:
        return badge(_("Complete"), "good") if row.complete else badge(_("Not complete"), "bad")

    @admin.display(description=gettext_lazy("were missing here"))
    def were_missing(self, row: Certificate) -> int:
        return len(row.missing)

    @admin.display(description=gettext_lazy("were out of date here"))
    def were_stale(self, row: Certificate) -> int:
        return len(row.stale)

    @admin.display(description=gettext_lazy("were gone from the CRM"))
    def were_gone(self, row: Certificate) -> int:
        return len(row.vanished)

    @admin.display(description=gettext_lazy("were missing here"))
    def missing_ids(self, row: Certificate) -> str:
        return bullets(row.missing)

    @admin.display(description=gettext_lazy("were out of date here"))
    def stale_ids(self, row: Certificate) -> str:
        return bullets(row.stale)

    @admin.display(description=gettext_lazy("were gone from the CRM"))
    def vanished_ids(self, row: Certificate) -> str:
        return bullets(row.vanished)

    @page_action(gettext_lazy("Compare again"), icon="fact_check", permission=CHANGE_RUN)
    def compare_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Compare all of %(kind)s with the CRM again?") % {"kind": row.object_type},
            lines=[
                _("All records are listed, in the background, and whatever differs is read afresh."),
                _("It happens by itself every night; the result is another certificate."),
            ],
            button=_("Compare now"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        reconciling.enqueue_all([row.connection], [row.object_type])
        return self.answer(request, row, _("Queued. Its progress stands among the sync runs."))
