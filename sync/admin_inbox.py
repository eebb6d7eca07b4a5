"""The pages of the inbox: what the CRMs told, with a button that works failed events again.

A window is replayed after a look at what that would change.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import tenancy
from integrations.admin_base import (
    SECRET_COLUMNS,
    Panel,
    Question,
    ReadOnlyAdmin,
    RecentValues,
    TenantScopedAdmin,
    page_action,
    sees_several,
)
from integrations.admin_forms import Select, TextInput
from integrations.admin_html import (
    NOTHING,
    ago,
    ago_column,
    badge_column,
    bullets,
    code,
    code_column,
    link,
    page_link,
    page_url,
    plain,
    progress,
)
from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.transport.client import PERSON
from sync import causes_words, inbox, replay_diff, replaying
from sync.admin_jobs import BY_CONNECTION, JOB_STATE
from sync.admin_stories import SourceFilter, field_name
from sync.causes_counting import known
from sync.models import InboxEvent, SyncJob
from sync.replay_diff import Changed, Diff
from sync.replaying import Window

EVENT_LEVELS = {"received": "warning", "worked": "good", "failed": "bad"}
EVENT_STATE = badge_column("state", gettext_lazy("state"), EVENT_LEVELS)
SECRET_HEADERS = ("auth", "cookie", "key", "secret", "signature", "token")
REPLAY = "sync.change_syncjob"
COMPARED = 500
"""Records that are looked up while somebody waits for the page."""
SHOWN = 100
LAST_REPLAYS = 10
COMPARE, APPLY = "compare", "apply"


class ObjectFilter(RecentValues):
    title = gettext_lazy("CRM object")
    parameter_name = "object_type"


class InboxEventAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No CRM has told of a change yet, by webhook or stream. Changes are found by asking, too."
    )
    list_display = (
        "id",
        "source",
        "object_type",
        "connection",
        EVENT_STATE,
        "signature_ok",
        "record_count",
        ago_column("received_at", gettext_lazy("received")),
        "error",
    )
    list_filter = ("state", SourceFilter, ObjectFilter, BY_CONNECTION)
    list_select_related = ("connection",)
    exact_search = ("id", "dedupe_key")
    search_help_text = gettext_lazy("Number, or the sender's whole key")
    ordering = ("-pk",)
    actions = ("work_again_selected",)
    actions_list = ("by_cause", "replay_window")
    actions_detail = ("work_again",)
    fields: ClassVar[Any] = (
        "connection", "source", "object_type", "change", "dedupe_key", EVENT_STATE, "signature_ok", "records", "moved_to",
        "content", "safe_headers", "error", "cause", "note", "occurred_at", "received_at", "worked_at",
    )  # fmt: skip
    records = staticmethod(code_column("record_ids", gettext_lazy("records")))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body")

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
        return link(page_url(SyncJob, "cause", of=row.fingerprint), causes_words.title(found)) if found else NOTHING

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

    def _start(self, request: HttpRequest, form: "WindowForm", window: Window) -> HttpResponse:
        job = replaying.start(window)
        if job is None:
            form.add_error(None, _("This window holds no events that name a record."))
            return self._replay_page(request, form)
        self.message_user(request, _("The window is worked again in the background; this page shows how far it is."))
        return redirect(page_url(job))

    def _replay_page(self, request: HttpRequest, form: "WindowForm", diff: Diff | None = None) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Replay a window of the inbox"),
            "lines": _lines(diff) if diff else [_ABOUT],
            "form": form,
            "button": _("Compare again") if diff else _("Show what would change"),
            "apply": _("Replay all of it") if diff and diff.records else "",
            "panels": list(_panels(diff)) if diff else [_last_replays()],
            "opts": self.opts,
            "back": page_url(InboxEvent, "changelist"),
        }
        return TemplateResponse(request, "admin/tables.html", context)


_ABOUT = gettext_lazy(
    "Every record that the CRM told of in the window is read afresh and compared with what is here. Nothing is changed before "
    "you have seen what would be."
)


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _safe_header(name: str, value: object) -> object:
    return "[secret]" if any(word in name.lower() for word in SECRET_HEADERS) else value


# --- the form -------------------------------------------------------------------------------------------------------


class WindowForm(forms.Form):
    connection = forms.ChoiceField(label=gettext_lazy("connection"), widget=Select)
    since = forms.DateTimeField(
        label=gettext_lazy("from (UTC)"), widget=TextInput(attrs={"type": "datetime-local", "step": "1"})
    )
    until = forms.DateTimeField(
        label=gettext_lazy("to (UTC)"), widget=TextInput(attrs={"type": "datetime-local", "step": "1"})
    )
    object_type = forms.CharField(
        label=gettext_lazy("CRM object"),
        required=False,
        max_length=100,
        widget=TextInput,
        help_text=gettext_lazy("Such as Lead; empty: all that are kept here."),
    )

    def __init__(self, data: Any = None) -> None:
        now = timezone.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
        super().__init__(data, initial={"since": _local(now - timedelta(days=1)), "until": _local(now)})
        rows = CrmConnection.objects.exclude(status=CrmConnection.Status.DISCONNECTED).defer(*SECRET_COLUMNS)
        self.rows = {str(row.pk): row for row in rows.select_related("tenant").order_by("tenant__name", "provider")}
        field: Any = self.fields["connection"]
        field.choices = [(key, _label(row)) for key, row in self.rows.items()]

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        if found.get("since") and found.get("until") and found["since"] >= found["until"]:
            self.add_error("until", _("The end has to be later than the beginning."))
        if found.get("connection") and not self._window(found).object_types:
            known = ", ".join(Window(self.rows[found["connection"]], timezone.now(), timezone.now()).object_types)
            self.add_error("object_type", _("There is no such object here. Known are: %(known)s.") % {"known": known})
        return found

    def window(self) -> Window:
        return self._window(self.cleaned_data)

    def _window(self, found: Mapping[str, Any]) -> Window:
        now = timezone.now()
        row = self.rows[found["connection"]]
        return Window(row, found.get("since") or now, found.get("until") or now, found.get("object_type", ""))


def _local(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def _label(row: CrmConnection) -> str:
    return f"{row.tenant}: {row}" if sees_several() else str(row)


# --- what is shown --------------------------------------------------------------------------------------------------


def _lines(diff: Diff) -> list[str]:
    lines = [
        _("%(events)s events of this window name %(records)s records.")
        % {"events": f"{diff.events:,}", "records": f"{diff.records:,}"}
    ]
    if diff.is_sample:
        lines.append(
            _("%(count)s of them, chosen at random, were compared. Replaying works all of them.")
            % {"count": f"{diff.compared:,}"}
        )
    if diff.is_empty:
        lines.append(_("Nothing would change: all of it is here already."))
    if diff.pushes:
        text = ngettext(
            "%(count)d contact would then be looked at for what a CRM has to get.",
            "%(count)d contacts would then be looked at for what a CRM has to get.",
            diff.pushes,
        )
        lines.append(text % {"count": diff.pushes})
    return lines


def _panels(diff: Diff) -> Iterator[Panel]:
    """A table for each kind of change that there is."""
    fields = [_("Record"), _("Contact"), _("Field"), _("Now"), _("Then"), _("Rule")]
    both = [_("Record"), _("Contact"), _("Field"), _("Dialer"), "CRM", _("Decided by")]
    tables: list[tuple[str, Sequence[str], list[list[object]]]] = [
        (_("Fields that would change"), fields, [_changed(one) for one in diff.changed]),
        (_("Fields that both sides changed"), both, [_conflict(one) for one in diff.conflicts]),
        (_("Contacts that would be made"), [_("Record"), _("Values")], [[*_made(*one)] for one in diff.created.items()]),
        (_("Records that would be marked"), [_("Record"), _("As")], [[key, ", ".join(one)] for key, one in diff.gone.items()]),
        (_("Not found in the CRM"), [_("Record")], [[name] for name in diff.missing]),
        (_("Can't be taken over"), [_("Record"), _("Problem")], [[*one] for one in diff.failed.items()]),
    ]  # fmt: skip
    for title, headers, rows in tables:
        if rows:
            counted = f"{title} ({len(rows):,})" if len(rows) <= SHOWN else _cut(title, len(rows))
            yield Panel(counted, headers, rows[:SHOWN], "")


def _cut(title: str, count: int) -> str:
    return _("%(title)s (%(count)s, the first %(shown)s)") % {"title": title, "count": f"{count:,}", "shown": SHOWN}


def _changed(one: Changed) -> list[object]:
    return [one.record, one.contact, field_name(one.field), plain(one.before), plain(one.after), one.rule]


def _conflict(one: Changed) -> list[object]:
    ruled = _("a person") if one.open else one.rule
    return [one.record, one.contact, field_name(one.field), plain(one.before), plain(one.after), ruled]


def _made(name: str, values: Mapping[str, Any]) -> tuple[str, str]:
    shown = {field: value for field, value in values.items() if value not in ("", None, False)}
    return name, bullets(f"{field_name(field)}: {plain(value)}" for field, value in shown.items())


def _last_replays() -> Panel:
    jobs = SyncJob.objects.filter(kind=replaying.KIND).select_related("connection", "tenant").order_by("-pk")
    hidden = [f"connection__{name}" for name in SECRET_COLUMNS]
    rows = [
        [
            page_link(job, f"#{job.pk}"),
            _label(job.connection) if job.connection else NOTHING,
            JOB_STATE(job),
            progress(job.payload.get("done", 0), job.payload.get("total"), _("Events worked")),
            ago(job.created_at),
        ]
        for job in jobs.defer(*hidden)[:LAST_REPLAYS]
    ]
    headers = [_("Job"), _("Connection"), _("State"), _("Events"), _("Asked for")]
    return Panel(_("Last replays"), headers, rows, _("No window was replayed yet."))
