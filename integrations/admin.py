"""Admin pages of tenants, the people and keys that act for them, and what all processes know of a connection's quota."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

import phonenumbers
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.access import is_support
from integrations.admin_base import (
    SECRET_COLUMNS,
    AdminPage,
    Panel,
    Question,
    ReadOnlyAdmin,
    TenantScopedAdmin,
    ThroughConnection,
    page_action,
)
from integrations.admin_forms import DatalistInput, ModelForm
from integrations.admin_html import ago_column, badge, badge_column, page_link, page_url
from integrations.models import (
    ApiKey,
    ApiUsage,
    CircuitBreaker,
    ConsentAttempt,
    CrmConnection,
    Membership,
    RateWindow,
    Tenant,
)

STATUS_LEVELS = {"connected": "good", "needs_reconnecting": "bad", "paused": "warning", "disconnected": "muted"}
BREAKER_LEVELS = {"closed": "good", "half-open": "warning", "open": "bad"}
CONNECTION_STATUS = badge_column("status", gettext_lazy("state"), STATUS_LEVELS)


class TenantForm(ModelForm):
    class Meta:
        model = Tenant
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "timezone" in self.fields:
            self.fields["timezone"].widget = DatalistInput([(name, "") for name in sorted(available_timezones())])

    def clean_timezone(self) -> str:
        zone = str(self.cleaned_data["timezone"])
        if zone not in available_timezones():
            raise forms.ValidationError(_("There is no such time zone. Choose one of the list, such as Europe/Berlin."))
        return zone

    def clean_region(self) -> str:
        region = str(self.cleaned_data["region"])
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise forms.ValidationError(_("No country has this code. Use two capital letters, such as US or DE."))
        return region


@admin.register(Tenant)
class TenantAdmin(AdminPage):
    """Tenants are made inactive, not deleted: millions of rows hang on each."""

    form = TenantForm
    list_display = (
        "name",
        "slug",
        "region",
        "timezone",
        "is_active",
        ago_column("created_at", gettext_lazy("created")),
    )
    list_filter = ("is_active",)
    search_fields = ("name__istartswith", "slug__startswith")
    search_help_text = gettext_lazy("Beginning of the name or short name")
    fields = ("name", "slug", "region", "timezone", "is_active")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [] if is_support(request.user) else ["slug", "is_active"]

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        connections = CrmConnection.objects.filter(tenant=row).defer(*SECRET_COLUMNS)
        return [
            Panel(
                title=_("Connections"),
                headers=[_("CRM and account"), _("State"), _("Reason")],
                rows=[[page_link(one), CONNECTION_STATUS(one), one.status_reason] for one in connections],
                empty=_("No CRM is connected yet."),
                more=(page_url(CrmConnection, "add", tenant=row.pk), _("Connect a CRM")),
            )
        ]


@admin.register(Membership)
class MembershipAdmin(TenantScopedAdmin):
    list_display = ("user", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username__istartswith", "user__email__istartswith")
    search_help_text = gettext_lazy("Beginning of the user name or e-mail")
    fields = ("user",)
    autocomplete_fields = ("tenant", "user")


@admin.register(ApiKey)
class ApiKeyAdmin(TenantScopedAdmin):
    """A key is shown once, when it is made; afterwards only its name can change, or it is revoked."""

    list_display = ("name", "begins_with", "created_at", ago_column("last_used_at", gettext_lazy("last used")), "state")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name__istartswith", "prefix")
    search_help_text = gettext_lazy("Name, or what follows dbk_")
    fields = ("name",)
    actions = ("revoke_selected",)
    actions_detail = ("revoke",)

    @admin.display(description=gettext_lazy("begins with"), ordering="prefix")
    def begins_with(self, row: ApiKey) -> str:
        return f"dbk_{row.prefix}…"

    @admin.display(description=gettext_lazy("state"), ordering="revoked_at")
    def state(self, row: ApiKey) -> str:
        return badge(_("Revoked"), "bad") if row.revoked_at else badge(_("In use"), "good")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        seen = ("begins_with", "state", "created_at", "last_used_at", "revoked_at")
        own = super().get_fieldsets(request, obj)
        return [*own, (None, {"fields": seen})] if obj else own

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "begins_with", "state", "created_at", "last_used_at", "revoked_at"] if obj else own

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        issued, text = ApiKey.issue(obj.tenant, obj.name)
        obj.pk, obj.prefix = issued.pk, issued.prefix
        shown = format_html('<code class="db-key">{}</code>', text)
        words = _("Copy this key now, it can't be shown again:")
        self.message_user(request, format_html("{} {}", words, shown), messages.WARNING)

    @page_action(gettext_lazy("Revoke"), icon="key_off", permission="integrations.change_apikey", danger=True)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Revoke %(key)s?") % {"key": row},
            lines=[
                _("From the next request on, whoever uses this key is refused."),
                _("This can't be undone; a new key can be made at any time."),
            ],
            button=_("Revoke the key"),
            danger=True,
        )
        page = self.ask(request, row, question)
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

    def _revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> int:
        valid = list(keys.filter(revoked_at=None))
        count = ApiKey.objects.filter(pk__in=[key.pk for key in valid], revoked_at=None).update(revoked_at=Now())
        for key in valid:
            self.log_change(request, key, "Revoked.")
        return count


@admin.register(ConsentAttempt)
class ConsentAttemptAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Who set out for a CRM's consent page, and whether they came back. Kept for a day."""

    list_display = (
        "provider",
        "user",
        ago_column("created_at", gettext_lazy("set out")),
        ago_column("used_at", gettext_lazy("came back")),
    )
    list_filter = ("provider",)
    list_select_related = ("user",)
    search_fields = ("user__username__istartswith", "user__email__istartswith")
    search_help_text = gettext_lazy("Beginning of the user name or e-mail")
    fields = ("provider", "user", "redirect_uri", "replace_account", "created_at", "used_at")
    ordering = ("-created_at", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("secrets")


@admin.register(RateWindow)
class RateWindowAdmin(ReadOnlyAdmin, ThroughConnection):
    list_display = (
        "bucket",
        "connection",
        "quota",
        "seconds",
        "remaining",
        ago_column("seen_at", gettext_lazy("seen")),
    )
    list_select_related = ("connection",)
    exact_search = ("key",)
    search_help_text = gettext_lazy("Whole key: connection id, colon, bucket")
    fields = ("key", "connection", "quota", "seconds", "remaining", "blocked_until", "seen_at")
    ordering = ("key",)

    @admin.display(description=gettext_lazy("bucket"), ordering="key")
    def bucket(self, row: RateWindow) -> str:
        return row.key.partition(":")[2] or row.key


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnlyAdmin, ThroughConnection):
    list_display = ("connection", "state_badge", "failures", "opened_at", "last_error")
    list_select_related = ("connection",)
    list_filter = (("opened_at", admin.EmptyFieldListFilter),)
    fields = ("connection", "state_badge", "failures", "opened_at", "probe_until", "last_error", "changed_at")
    ordering = ("-opened_at", "pk")

    @admin.display(description=gettext_lazy("state"), ordering="opened_at")
    def state_badge(self, row: CircuitBreaker) -> str:
        return badge(row.state, BREAKER_LEVELS[row.state])


@admin.register(ApiUsage)
class ApiUsageAdmin(ReadOnlyAdmin, ThroughConnection):
    list_display = ("hour", "connection", "calls", "failures", "throttled", "mean_time")
    list_select_related = ("connection",)
    fields = ("connection", "hour", "calls", "failures", "throttled", "mean_time")
    ordering = ("-hour", "pk")

    @admin.display(description=gettext_lazy("mean time"))
    def mean_time(self, row: ApiUsage) -> str:
        return f"{row.milliseconds / row.calls:.0f} ms" if row.calls else "–"
