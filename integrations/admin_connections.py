"""The page of a connection as far as this app knows it: connecting, state, account, credential, quota, test.

An app above registers it, with what it adds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin import BREAKER_LEVELS, CONNECTION_STATUS
from integrations.admin_base import SECRET_COLUMNS, Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import NOTHING, ago, badge, bullets, code_column, outward, page_url
from integrations.connect_forms import ConnectForm, is_offered, kinds_of
from integrations.connecting import check, connect, webhook_url
from integrations.errors import CrmError
from integrations.fields import WrongKey
from integrations.models import ApiUsage, CircuitBreaker, CrmConnection, RateWindow
from integrations.registry import PROVIDERS, provider_label

CHANGE = "integrations.change_crmconnection"
STATE_FIELDS = ((CONNECTION_STATUS, "since"), "status_reason", "warnings", "breaker_badge")
TAIL = 4
SHORTEST_WITH_TAIL = 24
"""Of a shorter secret even four characters would tell too much."""


class ConnectionPage(ReadOnlyAdmin, TenantScopedAdmin):
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
                    ("auth", "token_expires_at"),
                    ("access_token_kept", "refresh_token_kept"),
                    "others_kept",
                    "scopes",
                )
            },
        ),
        (gettext_lazy("Set-up"), {"fields": ("webhook_address", "chosen_settings", ("created_at", "updated_at"))}),
    )
    actions_detail: ClassVar[Any] = ("test", "reconnect")
    chosen_settings = staticmethod(code_column("settings", gettext_lazy("settings")))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*SECRET_COLUMNS)

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
        breaker = CircuitBreaker.objects.filter(connection=row).first()
        if breaker is None or breaker.opened_at is None:
            return badge(_("Closed: requests go out"), "good")
        words = _("%(state)s after %(count)d failures in a row") % {"state": breaker.state, "count": breaker.failures}
        return format_html("{} {}", badge(words, BREAKER_LEVELS[breaker.state]), breaker.last_error)

    @admin.display(description=gettext_lazy("access token"))
    def access_token_kept(self, row: CrmConnection) -> str:
        return _kept(row, "access_token")

    @admin.display(description=gettext_lazy("refresh token"))
    def refresh_token_kept(self, row: CrmConnection) -> str:
        return _kept(row, "refresh_token")

    @admin.display(description=gettext_lazy("other secrets"))
    def others_kept(self, row: CrmConnection) -> str:
        try:
            others: Mapping[str, str] = row.secrets or {}
        except WrongKey:
            return _unreadable()
        return bullets(f"{name}: {tail(str(value))}" for name, value in others.items())

    @admin.display(description=gettext_lazy("requests today (UTC)"))
    def usage_today(self, row: CrmConnection) -> str:
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        sums = ApiUsage.objects.filter(connection=row, hour__gte=midnight).aggregate(
            calls=Sum("calls", default=0), failures=Sum("failures", default=0), throttled=Sum("throttled", default=0)
        )
        return _("%(calls)d sent, %(failures)d failed, %(throttled)d told to slow down") % sums

    @admin.display(description=gettext_lazy("webhook address"))
    def webhook_address(self, row: CrmConnection) -> str:
        return format_html('<code class="db-key">{}</code>', webhook_url(row))

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        windows = RateWindow.objects.filter(connection=row).order_by("key")
        rows = [[one.key.partition(":")[2], _used(one), _span(one.seconds), ago(one.seen_at)] for one in windows]
        headers = [_("Quota"), _("Used"), _("In"), _("Told")]
        return [Panel(_("Quotas of the CRM"), headers, rows, _("The CRM has told of no quota yet."))]

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

    @page_action(gettext_lazy("Connect again"), icon="key", permission=CHANGE)
    def reconnect(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        return redirect(page_url(CrmConnection, "add", **again(row)))

    # --- connecting ------------------------------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the CRM and the kind of credential, as links; then the form. Not in a transaction: the CRM is asked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        slug, auth = request.GET.get("provider", ""), request.GET.get("auth", "")
        if not is_offered(slug, auth):
            return self._connect_page(request, _("Connect a CRM"), crms=_offers(request))
        form = ConnectForm(
            slug,
            auth,
            request.POST if request.method == "POST" else None,
            initial={"tenant": request.GET.get("tenant")},
        )
        if request.method == "POST" and form.is_valid():
            row = self._connect(request, form)
            if row is not None:
                return redirect(page_url(row))
        title = _("Connect %(crm)s") % {"crm": provider_label(slug)}
        label, text = next((label, text) for name, label, text in kinds_of(slug) if name == auth)
        return self._connect_page(request, title, form=form, kind=label, kind_text=text)

    def _connect_page(self, request: HttpRequest, title: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "add": True}
        return TemplateResponse(request, "admin/connect.html", {**common, **context})

    def _connect(self, request: HttpRequest, form: ConnectForm) -> CrmConnection | None:
        """None when the CRM refuses; the form says why then."""
        tenant = form.owner()
        known = CrmConnection.objects.filter(tenant=tenant, provider=form.slug).exists()
        try:
            row, account = connect(tenant, form.slug, form.credential())
        except CrmError as error:
            form.add_error(None, error.message)
            return None
        if known:
            self.log_change(request, row, "Connected again.")
        else:
            self.log_addition(request, row, "Connected.")
        facts = {"crm": row.get_provider_display(), "account": account.name or account.external_id}
        self.message_user(request, _("Connected: %(crm)s, account %(account)s.") % facts)
        self.connected(request, row)
        return row

    def connected(self, request: HttpRequest, row: CrmConnection) -> None:
        """What an app above does once a connection works."""


def again(row: CrmConnection) -> dict[str, str]:
    """The query that opens the form to connect this account again."""
    chosen = {"provider": row.provider, "tenant": str(row.tenant_id)}
    return {**chosen, "auth": row.auth} if is_offered(row.provider, row.auth) else chosen


def tail(secret: str) -> str:
    """That a secret is stored, and of a long one its end, so that somebody can tell which one it is."""
    if len(secret) < SHORTEST_WITH_TAIL or secret.rstrip().endswith("-"):
        return _("stored")
    return _("stored, ends in …%(end)s") % {"end": secret[-TAIL:]}


def _kept(row: CrmConnection, name: str) -> str:
    try:
        secret = getattr(row, name)
    except WrongKey:
        return _unreadable()
    return tail(secret) if secret else NOTHING


def _unreadable() -> str:
    return _("stored, but not readable with the keys in FIELD_ENCRYPTION_KEYS")


def _used(window: RateWindow) -> str:
    if window.quota is None or window.remaining is None:
        return NOTHING if window.quota is None else _("at most %(quota)s") % {"quota": f"{window.quota:,}"}
    return f"{window.quota - window.remaining:,} / {window.quota:,}"


def _span(seconds: float | None) -> str:
    if not seconds:
        return NOTHING
    return (
        _("%(hours)g h") % {"hours": seconds / 3600}
        if seconds >= 3600
        else _("%(seconds)g s") % {"seconds": round(seconds, 1)}
    )


def _offers(request: HttpRequest) -> list[dict[str, Any]]:
    """The CRMs with a link for each kind of credential; a CRM that the address names comes alone."""
    kept = {"tenant": request.GET["tenant"]} if request.GET.get("tenant") else {}
    named = request.GET.get("provider", "")
    return [
        {
            "label": provider_label(slug),
            "kinds": [
                {"label": label, "text": text, "url": page_url(CrmConnection, "add", provider=slug, auth=auth, **kept)}
                for auth, label, text in kinds_of(slug)
            ],
        }
        for slug in ([named] if named in PROVIDERS else PROVIDERS)
    ]
