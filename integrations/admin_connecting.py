"""The pages on which somebody connects a CRM: the choice, the form for a key, the form before the CRM's consent page."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from integrations.admin_base import TenantScopedAdmin
from integrations.admin_html import page_url
from integrations.connect_forms import CONSENT, ConnectForm, ConsentForm, is_offered, kinds_of
from integrations.connecting import take_in
from integrations.consent import begin, has_app, redirect_uri
from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.records.connections import Account
from integrations.registry import PROVIDERS, provider_class, provider_label


class ConnectingPages(TenantScopedAdmin):
    """Mixed into the connection's page."""

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the CRM and the kind of credential, as links; then the form. Not in a transaction: the CRM is asked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        slug, auth = request.GET.get("provider", ""), request.GET.get("auth", "")
        if not is_offered(slug, auth):
            return self._connect_page(request, _("Connect a CRM"), crms=_offers(request))
        data = request.POST if request.method == "POST" else None
        initial = {"tenant": request.GET.get("tenant")}
        form: ConnectForm | ConsentForm = (
            ConsentForm(slug, data, initial=initial)
            if auth == CONSENT
            else ConnectForm(slug, auth, data, initial=initial)
        )
        gone = self._go_on(request, form) if request.method == "POST" and form.is_valid() else None
        if gone is not None:
            return gone
        label, text = next((label, text) for name, label, text in kinds_of(slug) if name == auth)
        crm, back = provider_label(slug), redirect_uri(slug) if auth == CONSENT else ""
        title = _("Connect %(crm)s") % {"crm": crm}
        where = provider_class(slug).where_to_get.get(auth, "")
        return self._connect_page(
            request, title, form=form, crm=crm, kind=label, kind_text=text, where=where, consent=back
        )

    def _connect_page(self, request: HttpRequest, title: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "add": True}
        return TemplateResponse(request, "admin/connect.html", {**common, **context})

    def _go_on(self, request: HttpRequest, form: ConnectForm | ConsentForm) -> HttpResponse | None:
        """To the CRM's page, or to the connection that was made. None when the CRM refuses: the form says why."""
        try:
            if isinstance(form, ConsentForm):
                options, replaces = form.options(), form.replaces
                address = begin(request.user, form.owner(), form.slug, options, replace_account=replaces)
                return self._leave(request, form.slug, address)
            return self._connect(request, form)
        except CrmError as error:
            form.add_error(None, error.message)
            return None

    def _leave(self, request: HttpRequest, slug: str, address: str) -> HttpResponse:
        """A page of ours that goes on to the CRM's by itself: our policy lets no form, and no redirect after one, end elsewhere."""
        request.current_app = self.admin_site.name
        crm = provider_label(slug)
        common = {**self.admin_site.each_context(request), "opts": self.opts, "crm": crm, "address": address}
        context = {**common, "title": _("On to %(crm)s …") % {"crm": crm}}
        return TemplateResponse(
            request, "admin/connect_leaving.html", context, headers={"Refresh": f"0; url={address}"}
        )

    def _connect(self, request: HttpRequest, form: ConnectForm) -> HttpResponse:
        tenant = form.owner()
        known = CrmConnection.objects.filter(tenant=tenant, provider=form.slug).exists()
        row, account = take_in(tenant, form.slug, form.credential(), replace_account=form.replaces)
        return self.arrived(request, row, account, known=known)

    def arrived(self, request: HttpRequest, row: CrmConnection, account: Account, *, known: bool) -> HttpResponse:
        """Notes that somebody connected this CRM, tells whose account it is, and goes on to setting it up."""
        if known:
            self.log_change(request, row, "Connected again.")
        else:
            self.log_addition(request, row, "Connected.")
        facts = {"crm": row.get_provider_display(), "account": account.name or account.external_id}
        self.message_user(request, _("Connected: %(crm)s, account %(account)s.") % facts)
        return self.connected(request, row)

    def connected(self, request: HttpRequest, row: CrmConnection) -> HttpResponse:
        """Where to go once a credential is stored. An app above has the account looked at and set up from there."""
        return redirect(page_url(row))


def again(row: CrmConnection) -> dict[str, str]:
    """The query that opens the form to connect this account again."""
    chosen = {"provider": row.provider, "tenant": str(row.tenant_id)}
    auth = CONSENT if row.auth == "oauth" and has_app(row.provider) else row.auth
    return {**chosen, "auth": auth} if is_offered(row.provider, auth) else chosen


def _offers(request: HttpRequest) -> list[dict[str, Any]]:
    """The CRMs with a link for each kind of credential; a CRM that the address names comes alone."""
    kept = {"tenant": request.GET["tenant"]} if request.GET.get("tenant") else {}
    named = request.GET.get("provider", "")
    return [
        {
            "label": provider_label(slug),
            "kinds": [
                {
                    "label": label,
                    "text": text,
                    "icon": "login" if auth == CONSENT else "key",
                    "url": page_url(CrmConnection, "add", provider=slug, auth=auth, **kept),
                }
                for auth, label, text in kinds_of(slug)
            ],
        }
        for slug in ([named] if named in PROVIDERS else PROVIDERS)
    ]
