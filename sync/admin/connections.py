"""The page of a connection with what the sync knows of it, and the buttons that start, pause and resume it."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, page_action
from integrations.admin_connections import CHANGE, ConnectionPage
from integrations.admin_html import badge, badge_column, page_url
from integrations.crm import open_crm
from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.transport.client import PERSON
from mapping import discovery
from sync import budgets, health, queue
from sync.admin import budgets as admin_budgets
from sync.admin import connection_panels, deletions
from sync.admin.numbers import NumbersPage
from sync.admin.wizard import LIVE, SetupPages
from sync.progress import EVERY, LEVELS, done
from sync.pulling import enqueue_all
from sync.wizard_jobs import HELD

__all__ = ["OFFERED", "RUN_STATUS", "ConnectionAdmin", "done"]

RUN_STATUS = badge_column("status", gettext_lazy("status"), LEVELS)
OFFERED: dict[str, Callable[[CrmConnection], bool]] = {
    "test": lambda row: row.status != CrmConnection.Status.DISCONNECTED,
    "sync_now": lambda row: row.is_usable and not row.metadata.get(HELD),
    "numbers": lambda _row: False,  # stands with the other ways on
    "read_fields": lambda row: row.is_usable,
    "setup": lambda _row: False,  # this one and the next two stand with the state, where they change with it
    "pause": lambda _row: False,
    "resume": lambda _row: False,
    "daily_budget": lambda _row: False,  # stands with the limits that it sets
    "deletions": lambda _row: False,  # stands with what is chosen
    "check_permissions": lambda _row: False,  # its button stands beside what it finds
    "reconnect": lambda _row: True,
    "disconnect": lambda _row: False,  # stands with the credential that it ends
}
"""Which buttons make sense for a connection."""


class ConnectionAdmin(NumbersPage, SetupPages, deletions.DeletionPages, ConnectionPage):
    nothing_yet = gettext_lazy(
        "No CRM is connected yet. It takes a minute, and nothing is written before you have seen the mapping."
    )
    actions_detail: ClassVar[Any] = (
        "setup", "sync_now", "test", "numbers", "check_permissions", "read_fields", "pause", "resume", "daily_budget", "deletions",
        "reconnect", "disconnect",
    )  # fmt: skip

    change_form_outer_before_template = "admin/progress_head.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.found(request, object_id)
        above = _head(row, self.facts(row), may_change=request.user.has_perm(CHANGE))
        if LIVE in request.headers:
            return HttpResponse(above)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "live_head": above})

    def questions(self, row: CrmConnection) -> "dict[str, QuerySet[Any, Any]]":
        return {**super().questions(row), **connection_panels.questions(row)}

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        findings, *others = super().panels(request, row)
        may_change, facts = request.user.has_perm(CHANGE), self.facts(row)
        return [
            findings,
            connection_panels.objects(row, facts),
            connection_panels.runs(row, facts),
            *others,
            *admin_budgets.panels(row, may_change, connection_panels.day_of(row, facts)),
            connection_panels.ways(row, facts),
            connection_panels.schema_changes(row, facts),
            deletions.panel(row, may_change),
        ]

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


def _head(row: CrmConnection, facts: connection_panels.Facts, *, may_change: bool) -> SafeString:
    """The state in a sentence, the next step, and what goes on, which keeps itself up to date."""
    card = health.card_of(row, connection_panels.day_of(row, facts))
    going_on = connection_panels.going_on(facts) if row.is_usable else []
    unfinished = connection_panels.is_unfinished(row, facts)
    context = {
        "name": str(row),
        "verdict": badge(card.headline, card.level),
        "work": going_on,
        "spoken": ". ".join([card.headline, *(one.spoken for one in going_on)]),
        "next": connection_panels.next_step(row, card, unfinished=unfinished),
        "pause_url": page_url(row, "pause") if row.is_usable else "",
        "links": connection_panels.links(row),
        "may_change": may_change,
        "live_url": page_url(row),
        "every": EVERY,
    }
    return mark_safe(render_to_string("admin/connection_head.html", context))  # noqa: S308 - a template of ours, which escapes
