"""Admin pages of tenants, the people and keys that act for them, and what all processes know of a connection's quota."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import available_timezones

import phonenumbers
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.access import is_support
from integrations.admin_audit import AuditEntryAdmin
from integrations.admin_base import (
    SECRET_COLUMNS,
    AdminPage,
    Panel,
    ReadOnlyAdmin,
    TenantScopedAdmin,
    ThroughConnection,
)
from integrations.admin_exchanges import ApiExchangeAdmin
from integrations.admin_forms import DatalistInput, ModelForm
from integrations.admin_html import NOTHING, ago, ago_column, badge, badge_column, page_link, page_url
from integrations.admin_keys import ApiKeyAdmin
from integrations.admin_people import InvitationAdmin, MembershipAdmin
from integrations.connection_words import quota_name, quota_span, quota_used, shared_quota_name
from integrations.models import (
    ApiExchange,
    ApiKey,
    ApiUsage,
    AuditEntry,
    CircuitBreaker,
    ConsentAttempt,
    CrmConnection,
    Invitation,
    Membership,
    RateWindow,
    Tenant,
)
from integrations.registry import provider_class

admin.site.register(ApiExchange, ApiExchangeAdmin)
admin.site.register(Membership, MembershipAdmin)
admin.site.register(Invitation, InvitationAdmin)
admin.site.register(ApiKey, ApiKeyAdmin)
admin.site.register(AuditEntry, AuditEntryAdmin)
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


@admin.register(ConsentAttempt)
class ConsentAttemptAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Who set out for a CRM's consent page, and whether they came back. Kept for a day."""

    nothing_yet = gettext_lazy("Nobody set out for a CRM's consent page in the last day.")
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
    nothing_yet = gettext_lazy("No CRM was asked yet. Each limit that a CRM sets stands here once it was met with.")
    list_display = (
        "what",
        "connection",
        "used",
        "span",
        ago_column("seen_at", gettext_lazy("told")),
    )
    list_select_related = ("connection",)
    exact_search = ("key",)
    search_help_text = gettext_lazy("Whole key: connection id, colon, bucket")
    fields: ClassVar[Any] = (
        "what",
        "connection",
        "used",
        "span",
        "closed",
        ago_column("seen_at", gettext_lazy("told")),
        "key",
    )
    ordering = ("key",)

    @admin.display(description=gettext_lazy("quota"), ordering="key")
    def what(self, row: RateWindow) -> str:
        if row.connection is None:
            return shared_quota_name(row.bucket)
        return quota_name(provider_class(row.connection.provider), row.bucket)

    @admin.display(description=gettext_lazy("used"))
    def used(self, row: RateWindow) -> str:
        return quota_used(row)

    @admin.display(description=gettext_lazy("in"), ordering="seconds")
    def span(self, row: RateWindow) -> str:
        return quota_span(row)

    @admin.display(description=gettext_lazy("closed by the CRM until"))
    def closed(self, row: RateWindow) -> str:
        until = datetime.fromtimestamp(row.blocked_until, UTC)
        return ago(until) if until > timezone.now() else NOTHING


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnlyAdmin, ThroughConnection):
    nothing_yet = gettext_lazy("No CRM has failed: a breaker stands here once requests to a CRM fail in a row.")
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
    nothing_yet = gettext_lazy("No CRM was asked yet. Requests are counted by the hour.")
    list_display = ("hour", "connection", "calls", "failures", "throttled", "mean_time")
    list_select_related = ("connection",)
    fields = ("connection", "hour", "calls", "failures", "throttled", "mean_time")
    ordering = ("-hour", "pk")

    @admin.display(description=gettext_lazy("mean time"))
    def mean_time(self, row: ApiUsage) -> str:
        return f"{row.milliseconds / row.calls:.0f} ms" if row.calls else "–"
