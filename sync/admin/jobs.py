"""The pages of jobs: what has to be done, what failed and why, and trying it again."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from integrations.admin_base import (
    AdminPage,
    Panel,
    Question,
    ReadOnlyAdmin,
    RecentValues,
    TenantScopedAdmin,
    page_action,
)
from integrations.admin_exchanges import exchanges_panel
from integrations.admin_html import (
    NOTHING,
    ago_column,
    badge_column,
    code_column,
    page_link,
    page_url,
    progress,
    told_column,
)
from integrations.exchanges_reading import about_record
from sync import dead_letters
from sync.admin.contacts import CONTACTS
from sync.job_words import cause_name, kind_name
from sync.models import Contact, SyncJob
from sync.pushes import KIND as PUSH
from sync.sync_now import KIND as SYNC_NOW

JOB_LEVELS = {"ready": "warning", "leased": "info", "done": "good", "dead": "bad"}
JOB_STATE = badge_column("state", gettext_lazy("state"), JOB_LEVELS)
BY_CONNECTION = ("connection", AutocompleteSelectFilter)

EVERYTHING = "all"
"""The key of work that is about a connection as a whole."""
RECORD_MODELS: dict[str, type[Any]] = {CONTACTS: Contact}
"""Our table → its model, for links from sync records and jobs to the record itself. Apps above add theirs."""
JOB_TABLES: dict[str, str] = {PUSH: CONTACTS, SYNC_NOW: CONTACTS}
"""Kind of job → table of its record."""


def record_link(table: str, record_id: object) -> str:
    """The admin page of one of our records, or its id when there is none."""
    model = RECORD_MODELS.get(table)
    if not model or not record_id:
        return str(record_id or NOTHING)
    return page_link(model(pk=record_id), f"{capfirst(model._meta.verbose_name)} {str(record_id)[:8]}…")


def named_link(table: str, record_id: object) -> str:
    """The same with the record's name, which is read: for pages about one row."""
    model = RECORD_MODELS.get(table)
    found = model._default_manager.filter(pk=record_id).first() if model and record_id else None
    return page_link(found) if found is not None else record_link(table, record_id)


def name_records(rows: Sequence[Any], table_of: Callable[[Any], str]) -> None:
    """Reads what the records of a list's rows are called, in one query for each table; see `about`."""
    wanted: dict[str, set[Any]] = {}
    for row in rows:
        if row.local_record_id and table_of(row) in RECORD_MODELS:
            wanted.setdefault(table_of(row), set()).add(row.local_record_id)
    found = {table: RECORD_MODELS[table]._default_manager.in_bulk(ids) for table, ids in wanted.items()}
    for row in rows:
        row.record_read = found.get(table_of(row), {}).get(row.local_record_id)


class KindFilter(RecentValues):
    title = gettext_lazy("what")
    parameter_name = "kind"
    named = staticmethod(kind_name)


class CauseFilter(RecentValues):
    title = gettext_lazy("cause")
    parameter_name = "cause"
    named = staticmethod(cause_name)

    def rows(self, model_admin: Any) -> QuerySet[Any]:
        return super().rows(model_admin).filter(state=SyncJob.State.DEAD)


def table_of(job: SyncJob) -> str:
    return JOB_TABLES.get(job.kind, "")


def about(job: SyncJob) -> str:
    """What a job is about, with its name, which is read unless `name_records` did."""
    if not job.local_record_id:
        return _("everything") if job.key == EVERYTHING else job.key
    if not hasattr(job, "record_read"):
        name_records([job], table_of)
    found = getattr(job, "record_read", None)
    return page_link(found) if found else record_link(table_of(job), job.local_record_id)


class SyncJobAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("There is no work, and there was none lately.")
    list_display = (
        "number",
        JOB_STATE,
        "what",
        "about",
        "connection",
        "lane",
        "why",
        "short_problem",
        ago_column("created_at", gettext_lazy("created")),
    )
    list_filter = ("state", "lane", KindFilter, CauseFilter, BY_CONNECTION)
    list_select_related = ("connection",)
    exact_search = ("id", "local_record_id")
    search_help_text = gettext_lazy("Job number, or whole id of the record")
    ordering = ("-pk",)
    actions = ("try_again_selected",)
    actions_detail: ClassVar[Any] = ("try_again",)
    what_for = staticmethod(told_column("payload", gettext_lazy("with")))
    technical = staticmethod(code_column("error_detail", gettext_lazy("technical detail")))
    fields: ClassVar[Any] = (
        "connection", "what", "about", JOB_STATE, "bar", "why", "error", "technical", "run", "lane", "attempts", "created_at",
        "first_attempt_at", "not_before", "lease_until", "finished_at", "what_for",
    )  # fmt: skip
    only_if_filled = (
        "connection", "about", "bar", "why", "error", "technical", "run", "first_attempt_at", "lease_until",
        "finished_at", "what_for",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("number"), ordering="id")
    def number(self, row: SyncJob) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("what"), ordering="kind")
    def what(self, row: SyncJob) -> str:
        return kind_name(row.kind)

    @admin.display(description=gettext_lazy("cause"), ordering="cause")
    def why(self, row: SyncJob) -> str:
        return cause_name(row.cause) if row.cause else NOTHING

    @admin.display(description=gettext_lazy("about"), ordering="key")
    def about(self, row: SyncJob) -> str:
        return about(row)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        changes.result_list = list(changes.result_list)
        name_records(changes.result_list, table_of)
        return changes

    @admin.display(description=gettext_lazy("progress"))
    def bar(self, row: SyncJob) -> str:
        return (
            progress(row.payload.get("done", 0), row.payload["total"], _("Done"))
            if row.payload.get("total")
            else NOTHING
        )

    @admin.display(description=gettext_lazy("problem"))
    def short_problem(self, row: SyncJob) -> str:
        return row.error[:120] or NOTHING

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        """What was asked of the CRM since the job was made, for it alone or for its record."""
        keys = [f"job:{row.pk}", *([row.local_record_id] if row.local_record_id else [])]
        asked = about_record(keys, [str(row.local_record_id or "")])
        return [
            exchanges_panel(keys, rows=asked.filter(connection=row.connection_id, at__gte=row.created_at)),
            *super().panels(request, row),
        ]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_syncjob")

    @admin.action(description=gettext_lazy("Try again"), permissions=["replay"])
    def try_again_selected(self, request: HttpRequest, queryset: QuerySet[SyncJob]) -> None:
        replay(self, request, queryset)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.state == SyncJob.State.DEAD else []

    @page_action(gettext_lazy("Try again"), icon="replay", permission="sync.change_syncjob")
    def try_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Try %(job)s again?") % {"job": row},
            lines=[_("It goes back to the queue with fresh attempts. What the CRM already has is not written twice.")],
            button=_("Try again"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        replay(self, request, SyncJob.objects.filter(pk=row.pk))
        return redirect(page_url(row))


def replay(page: AdminPage, request: HttpRequest, jobs: QuerySet[SyncJob]) -> int:
    """Puts dead jobs back to work and says how many; says so as well when none needed it, or when some stay as they are."""
    done = dead_letters.replay(jobs)
    if done.replayed:
        text = ngettext("%(count)d job is tried again.", "%(count)d jobs are tried again.", done.replayed)
        page.message_user(request, text % {"count": done.replayed}, messages.SUCCESS)
    if done.for_good:
        text = ngettext(
            "%(count)d job stays as it is, since its account was replaced by another.",
            "%(count)d jobs stay as they are, since their account was replaced by another.",
            done.for_good,
        )
        page.message_user(request, text % {"count": done.for_good}, messages.WARNING)
    if not done.replayed and not done.for_good:
        page.message_user(
            request, _("None of these needed help: they are done, or waiting for their turn."), messages.INFO
        )
    return done.replayed
