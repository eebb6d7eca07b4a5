"""The page of one job: what happened to it in order, what it was about, the requests it made, and the buttons for it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.admin_base import Panel, page_action
from integrations.admin_exchanges import exchanges_panel
from integrations.admin_forms import Textarea
from integrations.admin_html import NOTHING, ago, outward, page_link, page_url
from sync.admin.jobs import SyncJobAdmin
from sync.causes import retrying
from sync.causes import words as causes_words
from sync.causes.counting import known
from sync.models import FailureAction, SyncJob, SyncRecord

REPLAY = "sync.change_syncjob"
Told = tuple[datetime, str, object]


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=1000,
        widget=Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Kept with your name, for whoever asks later."),
    )


class JobPage(SyncJobAdmin):
    actions_detail: ClassVar[Any] = ("try_again", "discard")

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        keys = [row.local_record_id or f"job:{row.pk}"]
        found = [_history(row)]
        if row.local_record_id:
            found.append(_links(row))
        if request.user.has_perm("integrations.view_apiexchange"):
            found.append(exchanges_panel(keys))
        return found

    @page_action(gettext_lazy("Dismiss"), icon="block", permission=REPLAY)
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if row.state != SyncJob.State.DEAD:
            return self.answer(request, row, _("It does not need help, so there is nothing to dismiss."))
        if not form.is_valid():
            return self._why_page(request, row, form)
        retrying.dismiss_one(row, str(request.user)[:200], form.cleaned_data["reason"], str(row))
        return self.answer(request, row, _("It was dismissed. Who did so and why is kept."))

    def _why_page(self, request: HttpRequest, row: SyncJob, form: ReasonForm) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Dismiss %(job)s?") % {"job": row},
            "subtitle": None,
            "lines": [
                row.error,
                _("It needs no help any more and is not tried again. The record stays as it is, here and in the CRM."),
            ],
            "form": form,
            "button": _("Dismiss"),
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/cause_dismiss.html", context)


def _history(row: SyncJob) -> Panel:
    """What is known to have happened, oldest first. A cause that others share leads to all of them."""
    steps = sorted(_steps(row), key=lambda one: one[0])
    rows = [[ago(at), what, more or NOTHING] for at, what, more in steps]
    cause = known(row.fingerprint) if row.fingerprint and row.state == SyncJob.State.DEAD else None
    all_of_it = (
        (f"{reverse('admin:sync_syncjob_cause')}?of={row.fingerprint}", causes_words.title(cause)) if cause else None
    )
    return Panel(_("What happened, in order"), [_("When"), _("What"), _("More")], rows, "", all_of_it)


def _steps(row: SyncJob) -> Iterator[Told]:
    yield row.created_at, _("It was put into the queue"), page_link(row.run) if row.run else ""
    if row.first_attempt_at:
        tried = ngettext("%(count)d attempt so far", "%(count)d attempts so far", row.attempts) % {
            "count": row.attempts
        }
        yield row.first_attempt_at, _("It may have reached the CRM for the first time"), tried
    for action in FailureAction.objects.filter(batch=row.batch) if row.batch else ():
        by = _("by %(name)s") % {"name": action.by}
        yield action.asked_at, action.get_what_display(), f"{by}: {action.reason}" if action.reason else by
    if row.replayed_at and not row.batch:
        yield row.replayed_at, _("It was put back to work"), ""
    if row.finished_at:
        yield row.finished_at, _ended(row), row.error if row.state == SyncJob.State.DEAD else ""
    elif row.state == SyncJob.State.LEASED and row.lease_until:
        yield row.lease_until, _("A worker has it, until then at the latest"), ""
    else:
        yield row.not_before, _("It is tried then, when its turn comes"), row.error


def _ended(row: SyncJob) -> str:
    words = {
        SyncJob.State.DONE.value: _("It was done"),
        SyncJob.State.DISMISSED.value: _("It was dismissed"),
    }
    return words.get(row.state, _("It failed for good"))


def _links(row: SyncJob) -> Panel:
    """The record in the CRM that it is about, as far as it is known."""
    found = SyncRecord.objects.filter(connection_id=row.connection_id, local_record_id=row.local_record_id)
    rows = [
        [page_link(one), one.get_sync_status_display(), outward(one.url, one.crm_record_id)]
        for one in found.select_related("connection").only(
            "id",
            "crm_provider",
            "crm_object_type",
            "crm_record_id",
            "sync_status",
            "url",
            "tenant_id",
            "connection__id",
        )[:5]
    ]
    headers = [_("Link"), _("Status"), _("In the CRM")]
    return Panel(_("Its record in the CRM"), headers, rows, _("The CRM has no record of it yet, as far as we know."))
