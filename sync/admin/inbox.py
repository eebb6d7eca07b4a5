"""The pages of the inbox: what the CRMs told, with a button that works failed events again.

A window is replayed after a look at what that would change.
"""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import tenancy
from integrations.admin_base import (
    Question,
    ReadOnlyAdmin,
    RecentValues,
    TenantScopedAdmin,
    page_action,
)
from integrations.admin_html import (
    NOTHING,
    ago_column,
    badge_column,
    code,
    link,
    page_url,
)
from integrations.errors import CrmError
from integrations.transport.client import PERSON
from sync import inbox, replay_diff, replaying
from sync.admin.jobs import BY_CONNECTION
from sync.admin.replay_window import ABOUT, SHOWN, WindowForm, last_replays, lines_of, panels_of
from sync.causes import words
from sync.causes.counting import known
from sync.event_words import change_name, way_name
from sync.models import InboxEvent, SyncJob
from sync.replay_diff import Diff
from sync.replaying import Window

EVENT_LEVELS = {"received": "warning", "worked": "good", "failed": "bad"}
EVENT_STATE = badge_column("state", gettext_lazy("state"), EVENT_LEVELS)
SECRET_HEADERS = ("auth", "cookie", "key", "secret", "signature", "token")
REPLAY = "sync.change_syncjob"
COMPARED = 500
"""Records that are looked up while somebody waits for the page."""
APPLY = "apply"


class WayFilter(RecentValues):
    title = gettext_lazy("source")
    parameter_name = "source"
    named = staticmethod(way_name)


class ObjectFilter(RecentValues):
    title = gettext_lazy("CRM object")
    parameter_name = "object_type"


class InboxEventAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No CRM has told of a change yet, by webhook or stream. Changes are found by asking, too."
    )
    list_display = (
        "number",
        "way",
        "object_type",
        "happened",
        "connection",
        EVENT_STATE,
        "signature_ok",
        "record_count",
        ago_column("received_at", gettext_lazy("received")),
        "short_problem",
    )
    list_filter = ("state", WayFilter, ObjectFilter, BY_CONNECTION)
    list_select_related = ("connection",)
    exact_search = ("id", "dedupe_key")
    search_help_text = gettext_lazy("Number, or the sender's whole key")
    ordering = ("-pk",)
    actions = ("work_again_selected",)
    actions_list = ("by_cause", "replay_window")
    actions_detail = ("work_again",)
    fields: ClassVar[Any] = (
        "connection", "way", "object_type", "happened", EVENT_STATE, "error", "cause", "note", "records", "moved_to",
        "occurred_at", "received_at", "worked_at", "signature_ok", "sender_key", "safe_headers", "content",
    )  # fmt: skip
    only_if_filled = (
        "object_type",
        "happened",
        "error",
        "cause",
        "note",
        "records",
        "moved_to",
        "occurred_at",
        "worked_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body")

    @admin.display(description=gettext_lazy("number"), ordering="id")
    def number(self, row: InboxEvent) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("source"), ordering="source")
    def way(self, row: InboxEvent) -> str:
        return way_name(row.source)

    @admin.display(description=gettext_lazy("what happened"), ordering="change")
    def happened(self, row: InboxEvent) -> str:
        return change_name(row.change) if row.change else NOTHING

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: InboxEvent) -> str:
        return row.error[:120] or NOTHING

    @admin.display(description=gettext_lazy("records"))
    def records(self, row: InboxEvent) -> str:
        return ", ".join(map(str, row.record_ids[:SHOWN])) or NOTHING

    @admin.display(description=gettext_lazy("sender's key"))
    def sender_key(self, row: InboxEvent) -> str:
        return row.dedupe_key

    @admin.display(description=gettext_lazy("records"))
    def record_count(self, row: InboxEvent) -> int:
        return len(row.record_ids)

    @admin.display(description=gettext_lazy("body"))
    def content(self, row: InboxEvent) -> str:
        return code(_decoded(bytes(row.body)))

    @admin.display(description=gettext_lazy("headers"))
    def safe_headers(self, row: InboxEvent) -> str:
        return code({name: _safe_header(name, value) for name, value in dict(row.headers).items()})

    @admin.display(description=gettext_lazy("cause"))
    def cause(self, row: InboxEvent) -> str:
        """Leads to all that failed of the same."""
        found = known(row.fingerprint) if row.fingerprint and row.state == InboxEvent.State.FAILED else None
        return link(page_url(SyncJob, "cause", of=row.fingerprint), words.title(found)) if found else NOTHING

    @page_action(gettext_lazy("Failed ones by cause"), icon="stacks", permission="sync.view_syncjob")
    def by_cause(self, request: HttpRequest) -> HttpResponse:
        return redirect(page_url(SyncJob, "causes"))

    # --- working again ----------------------------------------------------------------------------------------------

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    @admin.action(description=gettext_lazy("Work again"), permissions=["replay"])
    def work_again_selected(self, request: HttpRequest, queryset: QuerySet[InboxEvent]) -> None:
        self._work_again(request, queryset)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.state == InboxEvent.State.FAILED else []

    @page_action(gettext_lazy("Work again"), icon="replay", permission=REPLAY)
    def work_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Work event %(number)s again?") % {"number": row.pk},
            lines=[
                _("The records that it names are read from the CRM afresh, in the background, and taken over."),
                _("Whatever else failed with it is tried along with it."),
            ],
            button=_("Work again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        self._work_again(request, InboxEvent.objects.filter(pk=row.pk))
        return redirect(page_url(row))

    def _work_again(self, request: HttpRequest, events: QuerySet[InboxEvent]) -> None:
        count = inbox.work_again(InboxEvent.objects.filter(pk__in=events.values("pk")))
        if not count:
            self.message_user(
                request, _("None of these has failed. To work others again, replay a window."), messages.INFO
            )
            return
        text = ngettext("%(count)d event is worked again.", "%(count)d events are worked again.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    # --- replaying --------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Replay a window"), icon="history", permission=REPLAY)
    def replay_window(self, request: HttpRequest) -> HttpResponse:
        """First what it would change, then, if somebody wants it, for real."""
        form = WindowForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._replay_page(request, form)
        window = form.window()
        with tenancy.scope(window.connection.tenant_id):
            if request.POST.get("step") == APPLY:
                return self._start(request, form, window)
            try:
                diff = replay_diff.compare(window, PERSON, COMPARED)
            except CrmError as error:
                form.add_error(None, error.message)
                return self._replay_page(request, form)
        return self._replay_page(request, form, diff)

    def _start(self, request: HttpRequest, form: WindowForm, window: Window) -> HttpResponse:
        job = replaying.start(window)
        if job is None:
            form.add_error(None, _("This window holds no events that name a record."))
            return self._replay_page(request, form)
        self.message_user(request, _("The window is worked again in the background; this page shows how far it is."))
        return redirect(page_url(job))

    def _replay_page(self, request: HttpRequest, form: WindowForm, diff: Diff | None = None) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Replay a window of the inbox"),
            "lines": lines_of(diff) if diff else [ABOUT],
            "form": form,
            "button": _("Compare again") if diff else _("Show what would change"),
            "apply": _("Replay all of it") if diff and diff.records else "",
            "panels": list(panels_of(diff)) if diff else [last_replays()],
            "opts": self.opts,
            "back": page_url(InboxEvent, "changelist"),
        }
        return TemplateResponse(request, "admin/tables.html", context)


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _safe_header(name: str, value: object) -> object:
    return "[secret]" if any(word in name.lower() for word in SECRET_HEADERS) else value
