"""Runs in the making, as pieces of a page that keep themselves up to date: a cell of a list, and the head of a run's page."""

from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_base import SECRET_COLUMNS
from integrations.admin_html import page_url
from mapping.models import MappingVersion
from sync import progress
from sync.job_words import cause_name
from sync.models import Conflict, SyncJob, SyncRecord, SyncRun

CELL, HEAD = "run", "runpage"
"""What the ids of the two begin with."""
MOST_PARTS = 100
ADDRESS = "admin:sync_syncrun_progress"


def cell(run: SyncRun) -> SafeString:
    """State, bar and speed in a list."""
    return _rendered("admin/progress_cell.html", run, CELL, {})


def head(run: SyncRun, *, may_change: bool) -> SafeString:
    """The same in large, with what was done, what went wrong by cause, and the button that pauses or resumes."""
    facts = {
        "counts": _counts(run),
        "problems": _problems(run),
        "version_url": version_url(run),
        "pause_url": page_url(run, "pause") if may_change and run.status == SyncRun.Status.RUNNING else "",
        "resume_url": page_url(run, "resume") if may_change and run.status == SyncRun.Status.PAUSED else "",
    }
    return _rendered("admin/progress_run.html", run, HEAD, facts)


def answer(request: HttpRequest, *, may_change: bool) -> HttpResponse:
    """The parts of a page that it asks for again, for runs that the person may see. Raises Http404 where none is named."""
    asked = [part.partition("-") for part in request.GET.getlist("part")[:MOST_PARTS]]
    if not asked:
        raise Http404(_("This page is part of another: open the runs instead."))
    ids = {name: [int(pk) for kind, _dash, pk in asked if kind == name and pk.isdigit()] for name in (CELL, HEAD)}
    rows = SyncRun.objects.filter(pk__in=[*ids[CELL], *ids[HEAD]]).select_related("connection")
    found = rows.defer(*(f"connection__{name}" for name in SECRET_COLUMNS)).in_bulk()
    parts = [cell(found[pk]) for pk in ids[CELL] if pk in found]
    parts += [head(found[pk], may_change=may_change) for pk in ids[HEAD] if pk in found]
    return HttpResponse("".join(parts))


def version_url(run: SyncRun) -> str:
    """The mapping version that a run worked with."""
    if not run.mapping_version:
        return ""
    query = {"tenant__id__exact": run.tenant_id, "crm_provider__exact": run.connection.provider}
    return page_url(MappingVersion, "changelist", **query, number=run.mapping_version)


def _rendered(template: str, run: SyncRun, kind: str, facts: dict[str, Any]) -> SafeString:
    context = {
        "run": run,
        "progress": progress.of_run(run),
        "live_id": f"{kind}-{run.pk}",
        "live_url": reverse(ADDRESS),
        "live_every": progress.EVERY,
        **facts,
    }
    return mark_safe(render_to_string(template, context))  # noqa: S308 - a template of ours, which escapes


def _counts(run: SyncRun) -> list[tuple[str, int]]:
    return [
        (_("Created"), run.created),
        (_("Updated"), run.updated),
        (_("Unchanged"), run.unchanged),
        (_("Skipped"), run.skipped),
        (_("Requests"), run.api_calls),
    ]


def _problems(run: SyncRun) -> list[tuple[str, str]]:
    """What went wrong by cause, each with the list to look at."""
    found = []
    here = {"connection__id__exact": run.connection_id}
    if run.errored:
        words = ngettext(
            "%(count)d record has a value that does not fit the mapping",
            "%(count)d records have a value that does not fit the mapping",
            run.errored,
        )
        address = page_url(SyncRecord, "changelist", sync_status__exact="error", **here)
        found.append((words % {"count": run.errored}, address))
    if run.conflicts:
        words = ngettext("%(count)d conflict was met", "%(count)d conflicts were met", run.conflicts)
        found.append((words % {"count": run.conflicts}, page_url(Conflict, "changelist")))
    dead = SyncJob.objects.filter(run=run, state=SyncJob.State.DEAD).values("cause").annotate(count=Count("pk"))
    for one in dead.order_by("-count", "cause"):
        words = ngettext("%(count)d job needs help: %(cause)s", "%(count)d jobs need help: %(cause)s", one["count"])
        address = page_url(SyncJob, "changelist", state__exact="dead", cause=one["cause"], **here)
        told = {"count": one["count"], "cause": cause_name(one["cause"])}
        found.append((words % told, address))
    return found
