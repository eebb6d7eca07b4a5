"""The page of a connection as far as this app knows it: connecting, state, account, credential, quota, test.

An app above registers it, with what it adds.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import preflight
from integrations.admin import BREAKER_LEVELS, CONNECTION_STATUS
from integrations.admin_base import SECRET_COLUMNS, Panel, Question, ReadOnlyAdmin, page_action
from integrations.admin_connecting import ConnectingPages, again
from integrations.admin_findings import findings_badge, findings_panel
from integrations.admin_html import NOTHING, ago, badge, bullets, link, outward, page_url
from integrations.admin_secrets import UNREADABLE, kept_secret, read_secrets, tail
from integrations.connect_forms import CONSENT, kind_name, secret_name
from integrations.connecting import check, disconnect, webhook_url
from integrations.connection_words import quota_name, quota_span, quota_used, setting_line
from integrations.consent import has_app, kept_options
from integrations.errors import CrmError
from integrations.fields import WrongKey
from integrations.joined_queries import ask_together
from integrations.models import ApiUsage, CircuitBreaker, CrmConnection, RateWindow
from integrations.registry import provider_class

CHANGE = "integrations.change_crmconnection"
STATE_FIELDS = ((CONNECTION_STATUS, "since"), "status_reason", "permissions", "warnings", "breaker_badge")
LONGEST_DAY = timedelta(hours=26)
"""A day of a time zone that is being set back, and a broken hour."""


class ConnectionPage(ReadOnlyAdmin, ConnectingPages):
    list_display = ("account", CONNECTION_STATUS, "status_reason", "provider")
    list_filter = ("status", "provider")
    search_fields = (
        "account_name__icontains",
        "account_id__exact",
        "tenant__name__istartswith",
        "tenant__slug__startswith",
    )
    search_help_text = gettext_lazy("Account, account id, or tenant")
    ordering = ("tenant__name", "provider", "pk")
    fieldsets: ClassVar[Any] = (
        (gettext_lazy("State"), {"fields": STATE_FIELDS}),
        (
            gettext_lazy("Account"),
            {
                "fields": (
                    ("provider", "account_page"),
                    ("account_id", "connected_user"),
                    ("instance_url", "usage_today"),
                )
            },
        ),
        (
            gettext_lazy("Credential"),
            {
                "fields": (
                    ("kind", "token_expires_at"),
                    ("access_token_kept", "refresh_token_kept"),
                    "others_kept",
                    "scopes",
                    "ending",
                )
            },
        ),
        (gettext_lazy("Set-up"), {"fields": ("webhook_address", "chosen_settings", ("created_at", "updated_at"))}),
    )
    actions_detail: ClassVar[Any] = ("test", "check_permissions", "reconnect", "disconnect")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("tenant", "breaker").defer(*SECRET_COLUMNS)

    def questions(self, row: CrmConnection) -> "dict[str, QuerySet[Any, Any]]":
        """What the page shows of other tables, by name: it is asked in one statement."""
        return {
            "windows": RateWindow.objects.filter(connection=row).order_by("key"),
            "usage": ApiUsage.objects.filter(connection=row, hour__gte=timezone.now() - LONGEST_DAY),
        }

    def facts(self, row: CrmConnection) -> dict[str, list[Any]]:
        if "page_facts" not in row.__dict__:
            row.__dict__["page_facts"] = ask_together(**self.questions(row))
        kept: dict[str, list[Any]] = row.__dict__["page_facts"]
        return kept

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        own = super().get_fieldsets(request, obj)
        if obj and obj.status != CrmConnection.Status.DISCONNECTED and request.user.has_perm(CHANGE):
            return own
        return [
            (name, {**options, "fields": [one for one in options["fields"] if one != "ending"]})
            for name, options in own
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHANGE)

    # --- what the page shows ----------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("account"), ordering="account_name")
    def account(self, row: CrmConnection) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("account"))
    def account_page(self, row: CrmConnection) -> str:
        return outward(row.account_url, row.account_name or row.account_id or NOTHING)

    @admin.display(description=gettext_lazy("since"))
    def since(self, row: CrmConnection) -> str:
        return ago(row.status_since)

    @admin.display(description=gettext_lazy("connected as"))
    def connected_user(self, row: CrmConnection) -> str:
        return row.metadata.get("user") or NOTHING

    @admin.display(description=gettext_lazy("warnings"))
    def warnings(self, row: CrmConnection) -> str:
        return bullets(dict.fromkeys(row.metadata.get("warnings") or ()))

    @admin.display(description=gettext_lazy("circuit breaker"))
    def breaker_badge(self, row: CrmConnection) -> str:
        breaker: CircuitBreaker | None = getattr(row, "breaker", None)
        if breaker is None or breaker.opened_at is None:
            return badge(_("Closed: requests go out"), "good")
        words = _("%(state)s after %(count)d failures in a row") % {"state": breaker.state, "count": breaker.failures}
        return format_html("{} {}", badge(words, BREAKER_LEVELS[breaker.state]), breaker.last_error)

    @admin.display(description=gettext_lazy("access token"))
    def access_token_kept(self, row: CrmConnection) -> str:
        return kept_secret(row, "access_token")

    @admin.display(description=gettext_lazy("refresh token"))
    def refresh_token_kept(self, row: CrmConnection) -> str:
        return kept_secret(row, "refresh_token")

    @admin.display(description=gettext_lazy("other secrets"))
    def others_kept(self, row: CrmConnection) -> str:
        try:
            read_secrets(row)
            others: Mapping[str, str] = row.secrets or {}
        except WrongKey:
            return str(UNREADABLE)
        return bullets(f"{secret_name(name)}: {tail(str(value))}" for name, value in others.items())

    @admin.display(description=gettext_lazy("kind of credential"))
    def kind(self, row: CrmConnection) -> str:
        return kind_name(row.auth) if row.auth else NOTHING

    @admin.display(description=gettext_lazy("settings"))
    def chosen_settings(self, row: CrmConnection) -> str:
        return bullets(
            setting_line(provider_class(row.provider), name, value) for name, value in sorted(row.settings.items())
        )

    @admin.display(description=gettext_lazy("requests today (UTC)"))
    def usage_today(self, row: CrmConnection) -> str:
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        today = [one for one in self.facts(row)["usage"] if one.hour >= midnight]
        sums = {key: sum(getattr(one, key) for one in today) for key in ("calls", "failures", "throttled")}
        return _("%(calls)d sent, %(failures)d failed, %(throttled)d told to slow down") % sums

    @admin.display(description=gettext_lazy("permissions"))
    def permissions(self, row: CrmConnection) -> str:
        return findings_badge(row)

    @admin.display(description=gettext_lazy("replace or end it"))
    def ending(self, row: CrmConnection) -> str:
        another = link(page_url(row, "reconnect"), _("Use another credential …"))
        end = link(page_url(row, "disconnect"), _("End our access to the CRM and delete the credential …"))
        return bullets([another, end])

    @admin.display(description=gettext_lazy("webhook address"))
    def webhook_address(self, row: CrmConnection) -> str:
        return format_html('<code class="db-key">{}</code>', webhook_url(row))

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        windows = self.facts(row)["windows"]
        provider = provider_class(row.provider)
        rows = [
            [quota_name(provider, one.bucket), quota_used(one), quota_span(one), ago(one.seen_at)] for one in windows
        ]
        headers = [_("Quota"), _("Used"), _("In"), _("Told")]
        return [
            findings_panel(row, may_check=request.user.has_perm(CHANGE)),
            Panel(_("Quotas of the CRM"), headers, rows, _("The CRM has told of no quota yet.")),
        ]

    # --- what can be done ------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("Test connection"), icon="network_check", permission=CHANGE)
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Test the connection to %(crm)s?") % {"crm": row.get_provider_display()},
            lines=[
                _("We ask the CRM whose credential this is. It costs one or two requests and changes nothing there.")
            ],
            button=_("Test now"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            account = check(row)
        except CrmError as error:
            return self.answer(
                request, row, _("It does not work: %(problem)s") % {"problem": error.message}, messages.ERROR
            )
        for warning in account.warnings:
            self.message_user(request, warning, messages.WARNING)
        facts = {"crm": row.get_provider_display(), "account": account.name or account.external_id}
        return self.answer(request, row, _("It works: %(crm)s knows us as %(account)s.") % facts)

    @page_action(gettext_lazy("Check permissions"), icon="policy", permission=CHANGE)
    def check_permissions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Check what we may do in %(crm)s?") % {"crm": row.get_provider_display()},
            lines=[
                _("We ask the CRM for the rights of this credential, and for the objects and fields that we need."),
                _("It only reads. It also happens by itself every night."),
            ],
            button=_("Check now"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            found = preflight.run(row)
        except CrmError as error:
            words = _("The check could not be done: %(problem)s") % {"problem": error.message}
            return self.answer(request, row, words, messages.ERROR)
        if not found:
            return self.answer(request, row, _("Nothing is missing."))
        words = ngettext(
            "%(count)d thing is missing; see below.", "%(count)d things are missing; see below.", len(found)
        )
        return self.answer(request, row, words % {"count": len(found)}, messages.WARNING)

    @page_action(gettext_lazy("Disconnect"), icon="link_off", permission=CHANGE, danger=True)
    def disconnect(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Disconnect %(connection)s?") % {"connection": row},
            lines=[
                _("Our access is ended in the CRM, and the credential is deleted here."),
                _("Nothing is synced or logged until the same account is connected again."),
                _("Contacts, links and work that waits are kept."),
            ],
            button=_("Disconnect"),
            danger=True,
        )
        page = self.ask(request, row, question)
        if page:
            return page
        if row.status == CrmConnection.Status.DISCONNECTED:
            return self.answer(request, row, _("It had been disconnected before."), messages.INFO)
        reason = _("Disconnected by %(person)s") % {"person": request.user.get_username()}
        for left in disconnect(row, reason):
            self.message_user(request, left, messages.WARNING)
        self.log_change(request, row, "Disconnected.")
        return self.answer(request, row, _("Disconnected. The credential is deleted here."))

    @page_action(gettext_lazy("Connect again"), icon="key", permission=CHANGE)
    def reconnect(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        query = again(row)
        if row.auth == "oauth" and has_app(row.provider, kept_options(row.provider, row.tenant)):
            query["auth"] = CONSENT
        return redirect(page_url(CrmConnection, "add", **query))
