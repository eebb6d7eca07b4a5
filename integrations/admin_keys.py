"""The page of API keys: how the dialer signs in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import audit, keys
from integrations.admin_base import Panel, Question, TenantScopedAdmin, page_action
from integrations.admin_forms import Select, TenantForm
from integrations.admin_html import ago, ago_column, badge, page_url, shown_once
from integrations.models import ApiKey

CHANGE_KEY = "integrations.change_apikey"
STATES = {
    "in use": (gettext_lazy("In use"), "good"),
    "expired": (gettext_lazy("Run out"), "muted"),
    "revoked": (gettext_lazy("Revoked"), "bad"),
}
GOOD_FOR = (
    ("", gettext_lazy("Until it is revoked")),
    ("30", gettext_lazy("30 days")),
    ("90", gettext_lazy("90 days")),
    ("365", gettext_lazy("A year")),
)
OVERLAP = (
    (0, gettext_lazy("Not at all: it stops now")),
    (1, gettext_lazy("One hour")),
    (24, gettext_lazy("24 hours")),
    (168, gettext_lazy("7 days")),
)


class KeyForm(TenantForm):
    good_for = forms.ChoiceField(
        label=gettext_lazy("Good for"),
        choices=GOOD_FOR,
        required=False,
        widget=Select,
        help_text=gettext_lazy("A key that runs out has to be rotated in the dialer before."),
    )

    class Meta:
        model = ApiKey
        fields = "__all__"


class RotateForm(forms.Form):
    hours = forms.TypedChoiceField(
        label=gettext_lazy("The old key works on for"), choices=OVERLAP, coerce=int, initial=24, widget=Select
    )


class ApiKeyAdmin(TenantScopedAdmin):
    """A key is shown once, when it is made; afterwards only its name can change, or it is rotated or revoked."""

    form = KeyForm
    list_display = (
        "name",
        "begins_with",
        "state",
        ago_column("created_at", gettext_lazy("created")),
        "last_used",
        "good_until",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name__istartswith", "prefix")
    search_help_text = gettext_lazy("Name, or what follows dbk_")
    fields = ("name", "good_for")
    actions = ("revoke_selected",)
    actions_detail = ("rotate", "revoke")
    nothing_yet = gettext_lazy(
        "There is no key yet. “Add API key” makes one; it is shown once, to be put into the dialer."
    )
    list_after_template = "admin/key_help.html"

    @admin.display(description=gettext_lazy("begins with"), ordering="prefix")
    def begins_with(self, row: ApiKey) -> str:
        return f"dbk_{row.prefix}…"

    @admin.display(description=gettext_lazy("state"), ordering="revoked_at")
    def state(self, row: ApiKey) -> str:
        return badge(*STATES[row.state])

    @admin.display(description=gettext_lazy("last used"), ordering="last_used_at")
    def last_used(self, row: ApiKey) -> str:
        return ago(row.last_used_at, _("never"))

    @admin.display(description=gettext_lazy("good until"), ordering="expires_at")
    def good_until(self, row: ApiKey) -> str:
        return ago(row.expires_at, _("it is revoked"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        own = super().get_fieldsets(request, obj)
        if obj is None:
            return own
        shown = [name for name in own[0][1]["fields"] if name != "good_for"]
        return [
            (None, {"fields": [*shown, "begins_with", "state", "created_at", "last_used", "good_until", "revoked_at"]})
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        seen = ("begins_with", "state", "created_at", "last_used", "good_until", "revoked_at")
        return [*own, *seen] if obj else own

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        uses = sorted(row.uses.items(), key=lambda use: str(use[1]), reverse=True)
        rows = [[what, ago(datetime.fromisoformat(str(when)))] for what, when in uses]
        return [
            Panel(
                _("What it was used for"),
                [_("Request"), _("Last time, to five minutes")],
                rows,
                _("Nobody has used this key yet. Put it into the dialer as the API key of this tenant."),
            )
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        days = form.cleaned_data.get("good_for")
        until = timezone.now() + timedelta(days=int(days)) if days else None
        issued, text = ApiKey.issue(obj.tenant, obj.name, until)
        obj.pk, obj.prefix = issued.pk, issued.prefix
        self._show(request, text)

    def _show(self, request: HttpRequest, text: str) -> None:
        words = _("Copy this key now, it can't be shown again:")
        self.message_user(request, format_html("{} {}", words, shown_once(text)), messages.WARNING)

    @page_action(gettext_lazy("Rotate"), icon="autorenew", permission=CHANGE_KEY)
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        if row.state != "in use":
            return self.answer(request, row, _("This key is over. Make a new one instead."), messages.ERROR)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            made, text = keys.rotate(row, form.cleaned_data["hours"])
            self._show(request, text)
            audit.note(request, audit.KEY_ROTATED, row, f"→ dbk_{made.prefix}…")
            return redirect(page_url(made))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rotate %(key)s?") % {"key": row},
            "lines": [
                _(
                    "A new key of the same name is made and shown once. Put it into the dialer before the old one stops."
                ),
            ],
            "form": form,
            "button": _("Make the new key"),
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/ask_value.html", context)

    @page_action(gettext_lazy("Revoke"), icon="key_off", permission=CHANGE_KEY, danger=True)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        lines = [
            _("From the next request on, whoever uses this key is refused."),
            _("This can't be undone; a new key can be made at any time."),
        ]
        page = self.ask(
            request, row, Question(_("Revoke %(key)s?") % {"key": row}, lines, _("Revoke the key"), danger=True)
        )
        if page:
            return page
        if self._revoke(request, ApiKey.objects.filter(pk=row.pk)):
            return self.answer(request, row, _("The key is revoked."))
        return self.answer(request, row, _("The key had been revoked before."), messages.INFO)

    @admin.action(description=gettext_lazy("Revoke"), permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = self._revoke(request, queryset)
        text = ngettext("%(count)d key is revoked.", "%(count)d keys are revoked.", count) % {"count": count}
        self.message_user(request, text, messages.SUCCESS if count else messages.INFO)

    def _revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> int:
        good = list(chosen.filter(revoked_at=None))
        count = keys.revoke(good)
        for key in good:
            self.log_change(request, key, "Revoked.")
        return count
