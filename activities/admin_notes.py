"""The page on which a tenant writes the template of its notes, with what it makes of a real call for each CRM."""

from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities.admin_pages import OfOneTenant
from activities.matrix import connections_of
from activities.models import Call, CallSettings
from activities.notes import NAMES, USUAL, compiled
from activities.payload import notes_of
from activities.templates import TemplateError
from integrations.admin_base import Panel
from integrations.admin_forms import Textarea
from integrations.admin_html import badge, page_url, prose
from integrations.models import Tenant
from integrations.registry import provider_class

LONGEST = 20_000
LOOKED_THROUGH = 200
"""Of so many newest calls one with words is looked for."""
SAMPLE: dict[str, Any] = {
    "direction": "outbound",
    "duration_seconds": 342,
    "disposition": "Connected",
    "notes": "Call again on Monday.",
    "summary": "Jane wants to see prices for <50 seats & a demo.",
    "key_points": ["Contract ends in June", "Decides with her team"],
    "next_steps": ["Send the prices", "Book the demo"],
    "agent_email": "agent@example.com",
    "metadata": {"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38},
}
VIEW, CHANGE = "activities.view_callsettings", "activities.change_callsettings"


class NoteForm(forms.Form):
    template = forms.CharField(
        label=gettext_lazy("Template"),
        required=False,
        max_length=LONGEST,
        strip=False,
        widget=Textarea(attrs={"rows": 24, "spellcheck": "false"}),
        help_text=gettext_lazy("Empty: the usual sections."),
    )

    def clean_template(self) -> str:
        text: str = self.cleaned_data["template"].replace("\r\n", "\n")
        if not text.strip() or text.strip() == USUAL.strip():
            return ""
        try:
            compiled(text)
        except TemplateError as error:
            raise forms.ValidationError(str(error)) from error
        return text


class NotesPages(OfOneTenant):
    """Mixed in before the page of the call settings."""

    def get_urls(self) -> list[URLPattern]:
        return [self.tenant_page("notes", self.notes_page, VIEW), *super().get_urls()]

    def notes_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        held = CallSettings.objects.filter(tenant=tenant).values_list("note_template", flat=True).first() or ""
        form = NoteForm(request.POST if request.method == "POST" else None, initial={"template": held or USUAL})
        if request.method == "POST" and form.is_valid() and "save" in request.POST and request.user.has_perm(CHANGE):
            self._save(request, tenant, form.cleaned_data["template"])
            return redirect(request.get_full_path())
        tried = form.cleaned_data["template"] if form.is_bound and form.is_valid() else held
        return self.shown(
            request,
            "admin/note_template.html",
            _("What calls say in the CRMs"),
            lines=_explained(),
            form=form,
            may_change=request.user.has_perm(CHANGE),
            panels=() if form.is_bound and not form.is_valid() else [_preview(tenant, tried)],
        )

    def _save(self, request: HttpRequest, tenant: Tenant, template: str) -> None:
        with transaction.atomic():
            row, _made = CallSettings.objects.update_or_create(tenant=tenant, defaults={"note_template": template})
            self.log_change(request, row, "The template of notes was changed.")
        self.message_user(
            request,
            _("Saved. Calls that are logged from now on say it so; those in the CRMs change with their next stage."),
        )


def _explained() -> list[str]:
    return [
        _("A name in double braces stands for what the call has: {{summary}}."),
        _("{{#summary}}…{{/summary}} is left out when there is none, {{^summary}}…{{/summary}} is there only then."),
        _("Lists repeat what stands between: {{#key_points}}- {{.}}{{/key_points}}."),
        _("Names: %(names)s.") % {"names": ", ".join(NAMES)},
        _("Write plain text: what looks like HTML is shown as it is written."),
    ]


# --- the preview ----------------------------------------------------------------------------------------------------


def _preview(tenant: Tenant, template: str) -> Panel:
    call = _recent(tenant)
    title = _("Preview: the newest call that has notes or a summary") if call else _("Preview: a made-up call")
    text = notes_of(call or _sample(tenant), template)
    limits = {
        one.get_provider_display(): provider_class(one.provider).note_limit for one in connections_of([tenant.pk])
    }
    rows = [[crm, _fit(len(text), limit), prose(text)] for crm, limit in (limits or {_("Any CRM"): 0}).items()]
    more = (page_url(call), _("Open the call")) if call else None
    return Panel(title, [_("CRM"), _("Length"), _("Text")], rows, "", more)


def _recent(tenant: Tenant) -> Call | None:
    said = Q(summary__gt="") | Q(notes__gt="")
    newest = Call.objects.filter(tenant=tenant).order_by("-created_at")[:LOOKED_THROUGH].values("pk")
    found: Call | None = Call.objects.filter(said, pk__in=newest).order_by("-created_at").first()
    return found


def _sample(tenant: Tenant) -> Call:
    return Call(tenant=tenant, started_at=timezone.now(), **SAMPLE)


def _fit(length: int, limit: int) -> str:
    """How much of what the CRM takes the text is; what is too long is cut there, and it shows."""
    if not limit:
        return _("%(length)d characters") % {"length": length}
    words = _("%(length)d of %(limit)d characters") % {"length": length, "limit": limit}
    return badge(words, "good") if length <= limit else badge(_("%(words)s: it is cut") % {"words": words}, "warning")
