"""The two addresses of connecting by consent: the way out to the CRM, and the way back.

They stand outside the admin because their addresses are registered with the vendors. Nothing of the answer's query is shown
or logged, and no answer ends in a blank error: every page says what to do next and leads back.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET

from integrations import consent, errors
from integrations.admin_connections import CHANGE, ConnectionPage
from integrations.admin_html import page_url
from integrations.connect_forms import CONSENT
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class, provider_label

log = logging.getLogger("dialbridge.connecting")

View = Callable[[HttpRequest, str], HttpResponse]
OTHER_ACCOUNT = frozenset({"other_account", "account_taken"})
"""Causes after which the CRM has to ask anew who is logged in: it would choose the same account again."""


def _guarded(view: View) -> View:
    """For signed-in people who may connect; unknown CRMs are not there; no address is given to other sites."""

    @wraps(view)
    def guarded(request: HttpRequest, provider: str) -> HttpResponse:
        if provider not in PROVIDERS:
            raise Http404("There is no such CRM.")
        if not admin.site.has_permission(request):
            # Back to the start and never to the callback: its code and state belong in no login page.
            response: HttpResponse = redirect_to_login(_start_url(provider))
        elif not request.user.has_perm(CHANGE):
            raise PermissionDenied
        else:
            response = view(request, provider)
        response["Referrer-Policy"] = "no-referrer"
        return response

    return cast("View", require_GET(never_cache(guarded)))


@_guarded
def start(request: HttpRequest, provider: str) -> HttpResponse:
    """Sends the person to the consent page; somebody with several tenants has to name one, or chooses on a page."""
    tenant = _tenant(request)
    if tenant is None:
        return redirect(page_url(CrmConnection, "add", provider=provider, auth=CONSENT))
    try:
        address = consent.begin(request.user, tenant, provider, another_account="another" in request.GET)
    except errors.CrmError as error:
        return _failed(request, provider, error, tenant)
    return HttpResponseRedirect(address)


@_guarded
@sensitive_variables()
def callback(request: HttpRequest, provider: str) -> HttpResponse:
    answer = request.GET.dict()
    tenant = None
    try:
        attempt = consent.find(request.user, provider, answer.get("state", ""))
        tenant = attempt.tenant
        known = CrmConnection.objects.filter(tenant=tenant, provider=provider).exists()
        row, account = consent.finish(attempt, answer)
    except errors.CrmError as error:
        log.info("Connecting %s by consent failed: %s", provider, error.cause)
        return _failed(request, provider, error, tenant)
    return _page().arrived(request, row, account, known=known)


def _page() -> ConnectionPage:
    return cast("ConnectionPage", admin.site.get_model_admin(CrmConnection))


def _tenant(request: HttpRequest) -> Tenant | None:
    """The tenant that the address names, or the only one there is for this person. Raises Http404 for anybody else's."""
    tenants = Tenant.objects.filter(is_active=True)
    named = request.GET.get("tenant", "")
    if not named:
        own = list(tenants[:2])
        return own[0] if len(own) == 1 else None
    try:
        found: Tenant | None = tenants.filter(pk=UUID(named)).first()
    except ValueError:
        found = tenants.filter(slug=named).first()
    if found is None:
        raise Http404("There is no such tenant.")
    return found


def _start_url(provider: str) -> str:
    return reverse("connect", kwargs={"provider": provider})


def _failed(request: HttpRequest, provider: str, error: errors.CrmError, tenant: Tenant | None) -> HttpResponse:
    kept: dict[str, Any] = {"tenant": tenant.pk} if tenant else {}
    auth = {"auth": CONSENT} if provider_class(provider).has_consent_page else {}
    context = {
        **admin.site.each_context(request),
        "title": _("%(crm)s is not connected") % {"crm": provider_label(provider)},
        "opts": CrmConnection._meta,
        "problem": error.message,
        "again": page_url(CrmConnection, "add", provider=provider, **auth, **kept),
        "another": f"{_start_url(provider)}?tenant={tenant.pk}&another"
        if tenant and error.cause in OTHER_ACCOUNT
        else "",
        "back": page_url(CrmConnection, "changelist"),
    }
    request.current_app = admin.site.name
    status = 503 if isinstance(error, errors.Retry) else 400
    return TemplateResponse(request, "admin/connect_failed.html", context, status=status)
