"""The page of the connect wizard: all six steps of one connection, those that want somebody opened, with their buttons.

The same address gives the whole page, or only what changes while work goes on (see live.js).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import AdminPage, page_action
from integrations.admin_connections import CHANGE
from integrations.admin_findings import explained
from integrations.admin_html import ago, outward, page_url
from integrations.models import CrmConnection
from mapping.fields import DIALER_FIELDS
from sync import progress, wizard_jobs
from sync.admin.editor.urls import editor_url
from sync.models import SyncRun, WorkerBeat
from sync.wizard import Setup, State, Step

LEVELS: Mapping[State, str] = {
    State.DONE: "good",
    State.WORKING: "info",
    State.FAILED: "bad",
    State.NOW: "warning",
    State.ATTENTION: "bad",
    State.LATER: "muted",
}
WORDS: Mapping[State, Any] = {
    State.DONE: gettext_lazy("Done"),
    State.WORKING: gettext_lazy("Working"),
    State.FAILED: gettext_lazy("Did not work"),
    State.NOW: gettext_lazy("Your turn"),
    State.ATTENTION: gettext_lazy("Needs attention"),
    State.LATER: gettext_lazy("Later"),
}
OPEN = frozenset({State.WORKING, State.FAILED, State.NOW, State.ATTENTION})
DOES: Mapping[str, tuple[Callable[[CrmConnection], object], Any]] = {
    "look": (wizard_jobs.look, gettext_lazy("The account is looked at. The steps below move on by themselves.")),
    "set_up": (wizard_jobs.set_up, gettext_lazy("The account is being set up.")),
    "mapping": (wizard_jobs.add_mapping, gettext_lazy("The default mapping is in force.")),
    "load": (wizard_jobs.start_load, gettext_lazy("The first load has been asked for.")),
}
"""Button → what it does, and what is said then."""
WORKER_SILENT_AFTER = timedelta(minutes=1)
LIVE = "X-Live"
PART = "setup"
DIRECTIONS: Mapping[str, tuple[Any, str]] = {
    "inbound": (gettext_lazy("from the CRM"), "arrow_back"),
    "outbound": (gettext_lazy("to the CRM"), "arrow_forward"),
    "bidirectional": (gettext_lazy("both ways"), "sync_alt"),
}


class SetupPages(AdminPage):
    """Mixed into the connection's page."""

    def connected(self, request: HttpRequest, row: CrmConnection) -> HttpResponse:
        if wizard_jobs.begin(row):
            return redirect(page_url(row, "setup"))
        self.message_user(request, _("It is being set up again, and what changed meanwhile is read."))
        return redirect(page_url(row))

    @page_action(gettext_lazy("Continue setup"), icon="checklist", permission=CHANGE)
    def setup(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        if request.method == "POST":
            return self._do(request, row, request.POST.get("do", ""))
        request.current_app = self.admin_site.name
        if LIVE in request.headers:
            return TemplateResponse(request, "admin/wizard_steps.html", context_of(Setup(row)))
        crm = {"crm": row.get_provider_display()}
        context = {
            **self.admin_site.each_context(request),
            **context_of(Setup(row)),
            "title": _("Set up %(crm)s") % crm,
            "opts": self.opts,
            "original": row,
        }
        return TemplateResponse(request, "admin/wizard.html", context)

    def _do(self, request: HttpRequest, row: CrmConnection, name: str) -> HttpResponse:
        if name not in DOES or not row.is_usable:
            state = {"state": row.get_status_display()}
            self.message_user(request, _("Nothing was started: it is %(state)s.") % state, messages.WARNING)
            return redirect(page_url(row, "setup"))
        action, words = DOES[name]
        action(row)
        self.log_change(request, row, f"Set-up: {name}")
        self.message_user(request, words)
        return redirect(page_url(row, "setup"))


def context_of(setup: Setup) -> dict[str, Any]:
    """What the steps' template shows."""
    row = setup.row
    return {
        "setup": setup,
        "row": row,
        "part": PART,
        "every": progress.EVERY,
        "live_url": page_url(row, "setup") if setup.working else "",
        "steps": [_shown(setup, step) for step in setup.steps],
        "spoken": _spoken(setup),
        "idle": setup.working and setup.nobody_came and not _somebody_works(),
        "account": outward(row.account_url, row.account_name or row.account_id),
        "connection_url": page_url(row),
        "reconnect_url": page_url(row, "reconnect"),
        "resume_url": page_url(row, "resume"),
    }


def _shown(setup: Setup, step: Step) -> dict[str, Any]:
    return {
        "key": step.key,
        "number": step.number,
        "title": step.title,
        "state": step.state.value,
        "level": LEVELS[step.state],
        "word": WORDS[step.state],
        "words": step.words,
        "open": step.state in OPEN or (step.key == "load" and setup.finished),
        "template": f"admin/wizard_{step.key}.html",
        **(FACTS[step.key](setup) if step.key in FACTS else {}),
    }


def _check(setup: Setup) -> dict[str, Any]:
    return {"findings": explained(setup.gaps, setup.row), "checked": ago(setup.report.checked_at, "")}


def _fields(setup: Setup) -> dict[str, Any]:
    return {
        "missing": explained(setup.missing, setup.row),
        "tried": bool(setup.prepared_at),
        "untried": not setup.prepared_at,
    }


def _mapping(setup: Setup) -> dict[str, Any]:
    rows = setup.version.rows if setup.version else []
    return {"rows": [_pair(one, setup.labels) for one in rows], "editor_url": editor_url(setup.row)}


def _pair(row: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    known = DIALER_FIELDS["contact"].get(row["dialer_field"])
    words, icon = DIRECTIONS[row["direction"]]
    path = row["crm_field"]
    return {
        "dialer": known.label if known else row["dialer_field"],
        "crm": labels.get(path, path),
        "path": path,
        "direction": words,
        "icon": icon,
    }


def _load(setup: Setup) -> dict[str, Any]:
    paused = [one for one in setup.runs.values() if one.status == SyncRun.Status.PAUSED]
    return {
        "loads": setup.loads,
        "arrived": [
            {
                "name": str(one.contact),
                "url": page_url(one.contact),
                "type": one.object_type,
                "out": _open(setup, one.url),
            }
            for one in setup.first_contacts
        ],
        "resume": [(page_url(one, "resume"), one) for one in paused],
        "runs_url": page_url(SyncRun, "changelist", connection__id__exact=setup.row.pk),
        "finished": setup.finished,
    }


def _open(setup: Setup, url: str) -> str:
    return outward(url, _("Open in %(crm)s") % {"crm": setup.row.get_provider_display()}) if url else ""


FACTS: Mapping[str, Callable[[Setup], dict[str, Any]]] = {
    "check": _check,
    "fields": _fields,
    "mapping": _mapping,
    "load": _load,
}


def _spoken(setup: Setup) -> str:
    """For screen readers: what is going on, or whose turn it is."""
    running = [one.spoken for one in setup.loads if one.running]
    if running:
        return ". ".join(running)
    step = next((one for one in setup.steps if one.key == setup.current), None)
    if step is None:
        return _("The set-up is complete.")
    facts = {"number": step.number, "title": step.title, "state": WORDS[step.state], "words": step.words}
    return _("Step %(number)d, %(title)s: %(state)s. %(words)s") % facts


def _somebody_works() -> bool:
    newest = WorkerBeat.objects.filter(kind=WorkerBeat.Kind.WORKER).order_by("-beaten_at").first()
    return newest is not None and timezone.now() - newest.beaten_at < WORKER_SILENT_AFTER
