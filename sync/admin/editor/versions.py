"""The versions of a mapping beside each other: who made which and when, and what differs between any two, in words."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import slugify
from django.utils.translation import gettext as _

from integrations.admin_html import ago, page_url
from integrations.models import CrmConnection
from mapping import editor_documents
from mapping.editor_diff import changes
from mapping.editor_rows import in_force
from mapping.models import MappingVersion
from sync.admin.editor.urls import EditorBase, editor_url, urls_of

MOST_VERSIONS = 100


class VersionPages(EditorBase):
    def versions_page(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        rows = MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
        found = list(rows.order_by("-number").select_related("created_by").defer("rows")[:MOST_VERSIONS])
        numbers = [one.number for one in found]
        newer = _number(request.GET.get("new"), numbers, numbers[0] if numbers else 0)
        older = _number(request.GET.get("old"), numbers, next((one for one in numbers if one < newer), 0))
        older, newer = sorted((older, newer))
        picked = {one.number: one for one in rows.filter(number__in=[older, newer])}
        shown = [
            {
                "version": one,
                "when": ago(one.created_at),
                "is_newest": place == 0,
                "restore": page_url(one, "restore_version"),
                "undo": page_url(one, "undo_version")
                if one.number > 1 and request.user.has_perm("sync.add_undo")
                else "",
                "page": page_url(one),
                "begin": editor_url(connection, "editor_begin", version=one.pk),
            }
            for place, one in enumerate(found)
        ]
        context = {
            "connection": connection,
            "versions": shown,
            "older": older,
            "newer": newer,
            "changes": changes(*[picked[one].rows if one in picked else [] for one in (older, newer)]),
            "urls": urls_of(connection),
        }
        title = _("Mapping versions of %(connection)s") % {"connection": connection}
        return self.page(request, "admin/mapping_versions.html", title, **context)

    def export(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        now = in_force(connection.tenant_id, connection.provider)
        document = editor_documents.export(now.rows, connection.provider)
        answer = HttpResponse(json.dumps(document, indent=2, ensure_ascii=False), content_type="application/json")
        tenant: Any = connection.tenant
        name = slugify(f"mapping-{tenant.slug}-{connection.provider}-v{now.number}")
        answer["Content-Disposition"] = f'attachment; filename="{name}.json"'
        return answer


def _number(text: str | None, known: list[int], otherwise: int) -> int:
    number = int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
    return number if number in known else otherwise
