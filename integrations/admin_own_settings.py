"""Settings of which a tenant has one row at most, made when somebody first changes something; without it the defaults hold."""

from typing import Any
from uuid import UUID

from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy

from integrations.admin_base import TenantScopedAdmin, only_tenant_id
from integrations.admin_html import page_url


class OwnSettingsAdmin(TenantScopedAdmin):
    """Adds `<app>_<model>_own`, which the menu leads to: nobody has to know whether the row is there yet."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_own"
        return [path("own/", self.admin_site.admin_view(self.own_page), name=name), *super().get_urls()]

    def own_page(self, request: HttpRequest) -> HttpResponse:
        """To the tenant's one row, or to the form that makes it; without a tenant to the list of all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        owner = _named(request) or only_tenant_id()
        row = self.get_queryset(request).filter(tenant_id=owner).first() if owner else None
        if row is not None:
            return redirect(page_url(row))
        if owner is None or not self.has_add_permission(request):
            return redirect(page_url(self.model, "changelist"))
        return redirect(page_url(self.model, "add", tenant=owner))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is no other row to add."""
        alone = {"show_save_and_add_another": False, "has_add_permission": bool(context.get("add"))}
        return super().render_change_form(request, {**context, **alone}, *args, **kwargs)

    @display(description=gettext_lazy("settings"))
    def summary(self, row: Any) -> str:
        return str(row)


def _named(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.GET.get("tenant", ""))
    except ValueError:
        return None
