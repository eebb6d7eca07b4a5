from typing import Any, cast

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite

from config.menu import menu
from integrations.admin_html import NOTHING


class Site(UnfoldAdminSite):
    empty_value_display = NOTHING

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Made when it is read. Each page's context names it and our pages have a menu of their own, so that hardly any does."""
        listed = SimpleLazyObject(lambda: super(Site, self).get_app_list(request, app_label))
        return cast("list[Any]", listed)

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        return menu(request)
