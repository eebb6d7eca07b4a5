"""The addresses of the mapping editor's pages, and what these pages have in common."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from integrations.admin_html import page_url
from integrations.models import CrmConnection
from mapping.admin_rows import FieldMappingAdmin
from mapping.models import FieldMapping

VIEW, CHANGE = "mapping.view_fieldmapping", "mapping.change_fieldmapping"
PAGES = (
    "editor",
    "editor_publish",
    "editor_discard",
    "editor_update",
    "editor_versions",
    "editor_export",
    "editor_begin",
)


def name_of(page: str) -> str:
    return f"mapping_fieldmapping_{page}"


def editor_url(connection: CrmConnection, page: str = "editor", **query: object) -> str:
    address = reverse(f"admin:{name_of(page)}", args=[connection.pk])
    asked = urlencode({name: str(value) for name, value in query.items() if value})
    return f"{address}?{asked}" if asked else address


def urls_of(connection: CrmConnection) -> dict[str, str]:
    return {page.removeprefix("editor_"): editor_url(connection, page) for page in PAGES}


class EditorBase(FieldMappingAdmin):
    """What every page of the editor is shown with."""

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": None,
            "opts": self.opts,
            "may_change": request.user.has_perm(CHANGE),
            "list_url": page_url(FieldMapping, "changelist"),
        }
        return TemplateResponse(request, template, {**common, **context})
