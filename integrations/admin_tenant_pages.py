"""Pages of the admin that show something of one whole tenant. Who works for several is asked which one first."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from integrations import tenancy
from integrations.admin_base import only_tenant_id
from integrations.models import Tenant

if TYPE_CHECKING:
    from integrations.admin_base import TenantScopedAdmin as _Base
else:
    _Base = object

MOST_TENANTS = 200
TenantView = Callable[[HttpRequest, Tenant], HttpResponse]


class OfOneTenant(_Base):
    """Mixed in before a page."""

    def tenant_page(self, address: str, view: TenantView, permission: str) -> URLPattern:
        """A page below the model's address, called `<app>_<model>_<address>`, that is shown with `permission`."""

        def page(request: HttpRequest) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            tenant = _chosen(request)
            return view(request, tenant) if tenant else self.which_tenant(request, address)

        name = f"{self.opts.app_label}_{self.opts.model_name}_{address}"
        return path(f"{address}/", self.admin_site.admin_view(page), name=name)

    def shown(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "title": title, "subtitle": None, "opts": self.opts}
        return TemplateResponse(request, template, {**common, **context})

    def which_tenant(self, request: HttpRequest, address: str) -> HttpResponse:
        """The page that asks; `address` is where one is going."""
        links = [(f"?tenant={one.pk}", one.name) for one in Tenant.objects.order_by("name")[:MOST_TENANTS]]
        return self.shown(request, "admin/tenant_page.html", _("Of which tenant?"), links=links, panels=())


def scripts(*names: str) -> forms.Media:
    """Our own scripts for the head of a page; each runs once the page is read."""
    files: list[Any] = [Script(f"dialbridge/{name}.js", defer=True) for name in names]
    return forms.Media(js=files)


def _chosen(request: HttpRequest) -> Tenant | None:
    """The tenant whom the address names, else the only one; None where there are several. Raises Http404 for another's."""
    named = request.GET.get("tenant", "")
    try:
        owner = UUID(named) if named else only_tenant_id()
    except ValueError as error:
        raise Http404("There is no such tenant.") from error
    if owner is None:
        return None
    tenant: Tenant | None = Tenant.objects.filter(pk=owner).first()
    scope = tenancy.current_scope()
    if tenant is None or scope is None or owner not in scope:
        raise Http404("There is no such tenant.")
    return tenant
