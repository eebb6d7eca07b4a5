"""The page of a tenant's alert settings: from when on something counts as wrong, who hears of it, and a test of that.

A tenant has one such row at most, made when somebody first changes something; without it the defaults hold. The webhook's secret is
made here, shown once, and never again.
"""

import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminURLInputWidget

from integrations import outside
from integrations.admin_base import Question, page_action
from integrations.admin_forms import TenantForm, Textarea
from integrations.admin_html import ago_column, page_url
from integrations.admin_own_settings import OwnSettingsAdmin
from integrations.admin_signing import signed_by
from integrations.signing import new_secret, rotated
from sync.alerting import delivering, notices
from sync.alerting.words import Letter
from sync.models import AlertDelivery, AlertKind, AlertSettings

CHANGE = "sync.change_alertsettings"
MOST_ADDRESSES = 50
TEST = "alert.test"


class AlertSettingsForm(TenantForm):
    mail_to = forms.CharField(
        label=gettext_lazy("E-mail also to"),
        required=False,
        widget=Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("One address a line."),
    )
    quiet_kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Tell nobody of"),
        required=False,
        choices=[(value, label) for value, label in AlertKind.choices if value != AlertKind.WORKERS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("They still stand on the first page."),
    )
    webhook_url = forms.URLField(
        label=gettext_lazy("Webhook"),
        required=False,
        max_length=2000,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget(attrs={"placeholder": "https://"}),
        help_text=gettext_lazy("Gets the same, signed in the form of Standard Webhooks. Empty: none."),
    )

    class Meta:
        model = AlertSettings
        fields = (
            "tenant", "error_rate_percent", "error_rate_least", "latency_minutes", "queue_depth", "stale_minutes", "quiet_kinds",
            "mail_admins", "mail_to", "webhook_url",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "mail_to" in self.fields:
            self.initial["mail_to"] = "\n".join(self.instance.mail_to)

    def clean_mail_to(self) -> list[str]:
        found = dict.fromkeys(self.cleaned_data["mail_to"].replace(",", " ").replace(";", " ").split())
        if len(found) > MOST_ADDRESSES:
            raise ValidationError(_("At most %(count)d addresses.") % {"count": MOST_ADDRESSES})
        for one in found:
            try:
                validate_email(one)
            except ValidationError as error:
                raise ValidationError(_("%(text)s is no e-mail address.") % {"text": one}) from error
        return list(found)

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        try:
            outside.check_address(url) if url else None
        except outside.AddressRefused as error:
            raise ValidationError(str(error)) from error
        return url


class AlertSettingsAdmin(OwnSettingsAdmin):
    nothing_yet = gettext_lazy("The usual settings hold for everybody: an alert opens and its admins get an e-mail.")
    form = AlertSettingsForm
    list_display = (
        "summary", "error_rate_percent", "latency_minutes", "queue_depth", "stale_minutes", "mail_admins", "webhook_url",
        ago_column("updated_at", gettext_lazy("changed")),
    )  # fmt: skip
    ordering = ("tenant__name", "pk")
    actions_detail: ClassVar[Any] = ("send_test", "rotate_secret")
    readonly_fields = ("signed_by",)
    signed_by = signed_by("webhook_secret")
    fieldsets: ClassVar[Any] = (
        (
            gettext_lazy("From when on"),
            {
                "fields": (
                    ("error_rate_percent", "error_rate_least"), ("latency_minutes", "queue_depth"), "stale_minutes",
                ),
                "description": gettext_lazy(
                    "An alert opens when one of these is passed, when the CRM keeps failing, and when it has to be connected "
                    "again. It ends by itself when that is over."
                ),
            },
        ),
        (
            gettext_lazy("Who hears of it"),
            {
                "fields": (("mail_admins", "mail_to"), ("webhook_url", "signed_by"), "quiet_kinds"),
                "description": gettext_lazy("Once when it opens and once when it is over, however long it lasts."),
            },
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("webhook_secret")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A webhook gets its secret with its first address."""
        kept = AlertSettings.objects.filter(pk=obj.pk, webhook_secret__isnull=False).exists() if change else False
        fresh = new_secret() if obj.webhook_url and not kept else ""
        if fresh:
            obj.webhook_secret = fresh
        if change:
            named = [name for name in form.cleaned_data if name != "tenant"]
            obj.save(update_fields=[*named, "updated_at", *(["webhook_secret"] if fresh else [])])
        else:
            super().save_model(request, obj, form, change)
        if fresh:
            self._show_secret(request, fresh)

    def _show_secret(self, request: HttpRequest, secret: str) -> None:
        words = _("Copy the webhook's secret now, it can't be shown again; the receiver checks our signatures with it:")
        shown = format_html('{} <code class="db-key">{}</code>', words, secret)
        self.message_user(request, shown, messages.WARNING)

    # --- buttons ---------------------------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if row is not None and (one.path != "rotate_secret" or row.webhook_url)]

    @page_action(gettext_lazy("Send a test"), icon="send", permission=CHANGE)
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: AlertSettings = self.found(request, object_id)
        targets = notices.addresses(row, notices.admins_of({row.tenant_id})[row.tenant_id])
        question = Question(
            title=_("Send a test?"),
            lines=[_("These get a test message at once:"), *(target for _channel, target in targets)]
            if targets
            else [_("Nobody would get it: choose the tenant's admins, an address or a webhook first.")],
            button=_("Send the test"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        for channel, target in targets:
            self._test(request, row, channel, target)
        if not targets:
            self.message_user(request, _("Nothing was sent: nobody is to hear of alerts."), messages.WARNING)
        return redirect(page_url(row))

    def _test(self, request: HttpRequest, row: AlertSettings, channel: str, target: str) -> None:
        told = {"target": target}
        try:
            send_test(row, channel, target)
        except delivering.NotTaken as error:
            told["problem"] = str(error)
            self.message_user(request, _("%(target)s: not taken. %(problem)s") % told, messages.ERROR)
        else:
            self.message_user(request, _("%(target)s: the test was taken.") % told, messages.SUCCESS)

    @page_action(gettext_lazy("Change the secret"), icon="key", permission=CHANGE)
    def rotate_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: AlertSettings = self.found(request, object_id)
        question = Question(
            title=_("Change the secret of %(address)s?") % {"address": row.webhook_url},
            lines=[
                _("The new secret is shown once. For 24 hours messages are signed with the old one, too."),
                _("Give the new one to the receiver within that time."),
            ],
            button=_("Change the secret"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        stored, secret = rotated(row.webhook_secret, timezone.now()) if row.webhook_secret else (new_secret(),) * 2
        AlertSettings.objects.filter(pk=row.pk).update(webhook_secret=stored)
        self._show_secret(request, secret)
        self.log_change(request, row, "The webhook's secret was changed.")
        return redirect(page_url(row))


def send_test(row: AlertSettings, channel: str, target: str) -> None:
    """Raises delivering.NotTaken."""
    test_id = uuid.uuid4().hex
    text = _("This is a test. Alerts of %(tenant)s will come to this address.") % {"tenant": row.tenant}
    if channel == AlertDelivery.Channel.MAIL:
        subject = f"[Dialbridge] {_('A test of the alerts')} ({row.tenant})"
        delivering.send_mail(target, Letter(subject, f"{text}\n"), message_id=f"test-{test_id}")
    else:
        data = {"tenant": row.tenant.slug}
        message: dict[str, object] = {"type": TEST, "timestamp": timezone.now().isoformat(), "data": data}
        delivering.post(row, message, f"msg_{test_id}")
