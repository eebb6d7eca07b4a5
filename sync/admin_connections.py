"""The page of a connection with what the sync knows of it, and the buttons that start, pause and resume it."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import tenancy
from integrations.admin_base import Panel, Question, page_action
from integrations.admin_connections import CHANGE, STATE_FIELDS, ConnectionPage
from integrations.admin_html import ago, badge, badge_column, bullets, page_link, page_url, progress
from integrations.crm import open_crm
from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.transport.client import PERSON
from mapping import discovery
from mapping.models import CrmObject, SchemaChange
from sync import admin_budgets, admin_deletions, budgets, health, queue
from sync.models import FeedCursor, SyncJob, SyncRun
from sync.pulling import enqueue_all

RUN_STATUS = badge_column("status", gettext_lazy("status"), {"running": "info", "done": "good", "failed": "bad"})
LAST_RUNS = 10
LAST_CHANGES = 10
OFFERED: dict[str, Callable[[CrmConnection], bool]] = {
    "test": lambda row: row.status != CrmConnection.Status.DISCONNECTED,
    "sync_now": lambda row: row.is_usable,
    "read_fields": lambda row: row.is_usable,
    "pause": lambda row: row.is_usable,
    "resume": lambda row: row.status == CrmConnection.Status.PAUSED,
    "daily_budget": lambda _row: False,  # stands with the limits that it sets
    "deletions": lambda _row: False,  # stands with what is chosen
    "check_permissions": lambda _row: False,  # its button stands beside what it finds
    "reconnect": lambda _row: True,
    "disconnect": lambda _row: False,  # stands with the credential that it ends
}
"""Which buttons make sense for a connection."""


class ConnectionAdmin(admin_deletions.DeletionPages, ConnectionPage):
    fieldsets: ClassVar[Any] = (
        (gettext_lazy("State"), {"fields": ("verdict", *STATE_FIELDS)}),
        *ConnectionPage.fieldsets[1:],
    )
    actions_detail: ClassVar[Any] = (
        "sync_now", "test", "check_permissions", "read_fields", "pause", "resume", "daily_budget", "deletions",
        "reconnect", "disconnect",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("how it is doing"))
    def verdict(self, row: CrmConnection) -> str:
        with tenancy.scope(row.tenant_id):
            card = next(one for one in health.cards() if one.connection.pk == row.pk)
        return badge(card.headline, card.level)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        findings, *others = super().panels(request, row)
        day = admin_budgets.panels(row, request.user.has_perm(CHANGE))
        deletions = admin_deletions.panel(row, request.user.has_perm(CHANGE))
        return [findings, _runs(row), *day, _cursors(row), _schema_changes(row), deletions, *others]

    def connected(self, request: HttpRequest, row: CrmConnection) -> None:
        enqueue_all([row])
        self.message_user(request, _("The first load has been queued; its progress stands on this page."))

    # --- buttons ---------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if row is not None and OFFERED[one.path](row)]

    @page_action(gettext_lazy("Sync now"), icon="sync", permission=CHANGE)
    def sync_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Sync %(connection)s now?") % {"connection": row},
            lines=[
                _("Everything that changed in the CRM since the last pass is read, in the background."),
                _("It happens by itself every few minutes; this only does it at once."),
            ],
            button=_("Sync now"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if not row.is_usable:
            words = _("It is not connected at the moment: %(state)s. Nothing was started.") % {
                "state": row.get_status_display()
            }
            return self.answer(request, row, words, messages.ERROR)
        count = enqueue_all([row])
        return self.answer(request, row, _("Queued: %(count)d passes, one for each kind of record.") % {"count": count})

    @page_action(gettext_lazy("Read fields again"), icon="manage_search", permission=CHANGE)
    def read_fields(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Read the fields of %(connection)s again?") % {"connection": row},
            lines=[
                _("We ask the CRM which fields it has, and compare them with what we know. It changes nothing there."),
                _("It happens by itself every hour; this only does it at once."),
            ],
            button=_("Read now"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            changes = discovery.refresh(row, open_crm(row, PERSON)[0])
        except CrmError as error:
            return self.answer(
                request, row, _("It did not work: %(problem)s") % {"problem": error.message}, messages.ERROR
            )
        broken = sum(1 for one in changes if one.breaks)
        if not changes:
            return self.answer(request, row, _("The fields were read. Nothing has changed."))
        words = _("The fields were read: %(count)d changes, %(broken)d of them break the mapping.")
        level = messages.WARNING if broken else messages.SUCCESS
        return self.answer(request, row, words % {"count": len(changes), "broken": broken}, level)

    @page_action(gettext_lazy("Pause"), icon="pause", permission=CHANGE)
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Pause %(connection)s?") % {"connection": row},
            lines=[
                _("Nothing is read from this CRM and nothing is written to it until somebody resumes it."),
                _("Calls that the dialer posts meanwhile are kept, and logged afterwards."),
            ],
            button=_("Pause"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        reason = _("Paused by %(person)s") % {"person": request.user.get_username()}
        moved = self._move(request, row, CrmConnection.Status.CONNECTED, CrmConnection.Status.PAUSED, reason)
        return self._moved(request, row, moved, _("Paused. Work waits until it is resumed."))

    @page_action(gettext_lazy("Resume"), icon="play_arrow", permission=CHANGE)
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Resume %(connection)s?") % {"connection": row},
            lines=[_("The work that waited is done now, calls first, as fast as the CRM's limits allow.")],
            button=_("Resume"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        moved = self._move(request, row, CrmConnection.Status.PAUSED, CrmConnection.Status.CONNECTED, "")
        if moved:
            queue.wake(row.pk)
        return self._moved(request, row, moved, _("Resumed."))

    @page_action(gettext_lazy("Daily budget"), icon="savings", permission=CHANGE)
    def daily_budget(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        today = budgets.today(row, timezone.now())
        form = admin_budgets.BudgetForm(
            request.POST if request.method == "POST" else None, initial={"budget": today.budget}
        )
        if not form.is_valid():
            return self._budget_page(request, row, form, admin_budgets.explanation(today))
        budget = form.cleaned_data["budget"]
        budgets.set_budget(row, budget)
        self.log_change(request, row, f"Daily budget: {today.budget or 'none'} → {budget or 'none'}")
        if budget is None:
            return self.answer(request, row, _("There is no daily budget any more."))
        words = _("The daily budget is %(budget)s requests; %(used)s are used today.")
        return self.answer(request, row, words % {"budget": f"{budget:,}", "used": f"{today.used:,}"})

    def _budget_page(self, request: HttpRequest, row: CrmConnection, form: Any, lines: Sequence[str]) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Daily budget of %(connection)s") % {"connection": row},
            "lines": lines,
            "form": form,
            "button": _("Set the budget"),
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/ask_value.html", context)

    def _move(self, request: HttpRequest, row: CrmConnection, before: str, after: str, reason: str) -> bool:
        """False when it was in another state: somebody, or the CRM, was faster."""
        changed = CrmConnection.objects.filter(pk=row.pk, status=before).update(
            status=after, status_reason=reason, status_since=timezone.now()
        )
        if changed:
            self.log_change(request, row, f"{before} → {after}")
        return bool(changed)

    def _moved(self, request: HttpRequest, row: CrmConnection, moved: bool, words: str) -> HttpResponse:
        if moved:
            return self.answer(request, row, words)
        row.refresh_from_db(fields=["status"])
        state = row.get_status_display()
        return self.answer(
            request, row, _("Nothing was changed: it is %(state)s.") % {"state": state}, messages.WARNING
        )


def _runs(row: CrmConnection) -> Panel:
    runs = SyncRun.objects.filter(connection=row).order_by("-started_at")[:LAST_RUNS]
    rows = [
        [
            page_link(run),
            RUN_STATUS(run),
            progress(done(run), run.expected, _("Records done")),
            ago(run.started_at),
            run.error,
        ]
        for run in runs
    ]
    headers = [_("Run"), _("Status"), _("Records"), _("Started"), _("Problem")]
    more = (page_url(SyncJob, "changelist", connection__id__exact=row.pk), _("Jobs of this connection"))
    return Panel(_("Last runs"), headers, rows, _("Nothing was read yet."), more)


def _schema_changes(row: CrmConnection) -> Panel:
    changes = SchemaChange.objects.filter(connection=row).order_by("-pk")[:LAST_CHANGES]
    rows = [
        [
            ago(one.found_at),
            f"{one.object_type}: {one.label}",
            one.get_change_display(),
            bullets(f"{broken['dialer_field']}: {broken['why']}" for broken in one.breaks),
        ]
        for one in changes
    ]
    seen = CrmObject.objects.filter(connection=row).aggregate(last=Max("checked_at"))["last"]
    empty = (
        format_html(_("Nothing has changed since the connection was made. Last look: {}."), ago(seen))
        if seen
        else _("The CRM's fields have not been read yet.")
    )
    more = (page_url(SchemaChange, "changelist", connection__id__exact=row.pk), _("All changes"))
    return Panel(
        _("What changed in the CRM's fields"), [_("Found"), _("Field"), _("Change"), _("Breaks")], rows, empty, more
    )


def _cursors(row: CrmConnection) -> Panel:
    cursors = FeedCursor.objects.filter(connection=row).order_by("feed")
    rows = [[page_link(one), ago(one.complete_at, _("not yet")), ago(one.moved_at)] for one in cursors]
    return Panel(
        _("How far each feed was read"), [_("Feed"), _("Read to the end"), _("Moved")], rows, _("No feed was read yet.")
    )


def done(run: SyncRun) -> int:
    """Records of a run that need nothing more."""
    return run.created + run.updated + run.unchanged + run.skipped
