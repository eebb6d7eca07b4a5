"""Pages of records that are no form: the search, the state of a contact that keeps itself up to date, and "Sync now"."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from unfold.dataclasses import SearchResult

from integrations.admin_base import Question, sees_several
from integrations.admin_html import page_url
from sync import presence, records_search, sync_now
from sync.admin.records import state_of
from sync.models import Contact
from sync.records_search import Hit

if TYPE_CHECKING:
    from integrations.admin_base import TenantScopedAdmin as _Base
else:
    _Base = object

FIND = "admin:sync_contact_find"
ICONS = {"contact": "person", "call": "call"}


class RecordPages(_Base):
    """Mixed in before the page of contacts."""

    def get_urls(self) -> list[URLPattern]:
        def named(address: str, view: Any, name: str) -> Any:
            return path(address, self.admin_site.admin_view(view), name=f"sync_contact_{name}")

        own = [
            named("find/", self.find_page, "find"),
            named("<path:object_id>/state/", self.state_page, "state"),
            named("<path:object_id>/sync_now/", self.sync_now_page, "sync_now"),
        ]
        return [*own, *super().get_urls()]

    def find_page(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.GET.get("q", "").strip()
        hits = [_shown(hit) for hit in records_search.find(term)] if term else []
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Find a record"),
            "subtitle": None,
            "opts": self.opts,
            "term": term,
            "hits": hits,
            "capped": len(hits) >= records_search.MOST,
            "sees_several": sees_several(),
            "contacts_url": page_url(Contact, "changelist"),
        }
        return TemplateResponse(request, "admin/record_search.html", context)

    def state_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        contact = self.found(request, object_id)
        context = {"state": state_of(contact, presence.read(contact))}
        return TemplateResponse(request, "admin/record_state.html", context)

    def sync_now_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        contact = self.found(request, object_id)
        if not self.has_change_permission(request, contact):
            raise PermissionDenied
        question = Question(
            title=_("Sync %(contact)s now?") % {"contact": contact},
            lines=[
                _("Its records are read afresh from each CRM that knows it, and what waits to be written is written."),
                _("Nothing is deleted, and no new records are made but those that wait to be."),
            ],
            button=_("Sync now"),
        )
        page = self.ask(request, contact, question)
        if page:
            return page
        self._tell(request, sync_now.ask(contact))
        return redirect(page_url(contact))

    def _tell(self, request: HttpRequest, done: sync_now.Asked) -> None:
        for one in done.stopped:
            facts = {"crm": one.get_provider_display(), "state": one.get_status_display()}
            self.message_user(request, _("%(crm)s is not asked: %(state)s.") % facts, messages.WARNING)
        if not done.asked and not done.stopped:
            text = _(
                "There is nothing to ask: no connected CRM has a record of this contact, and none waits to be made."
            )
            self.message_user(request, text, messages.INFO)


def _shown(hit: Hit) -> dict[str, Any]:
    """A hit on the page."""
    row, kind = hit.row, hit.row._meta.model_name
    is_contact = isinstance(row, Contact)
    return {
        "url": page_url(row),
        "icon": ICONS.get(kind, "data_object"),
        "kind": row._meta.verbose_name,
        "name": str(row),
        "by": hit.by,
        "tenant": row.tenant,
        "details": [one for one in (row.company, row.phone or row.mobile_phone, row.email) if one]
        if is_contact
        else [str(one) for one in (getattr(row, "contact", None), getattr(row, "phone", "")) if one],
        "gone": is_contact and row.deleted_at is not None,
    }


def command_results(request: HttpRequest, _term: str) -> list[SearchResult]:
    """For the theme's search, which opens on every page. It gives the text in small letters, but ids have large ones too."""
    term = request.GET.get("s", "").strip()
    if len(term) < 2 or not request.user.has_perm("sync.view_contact"):
        return []
    found = [_shown(hit) for hit in records_search.find(term)[:10]]
    results = [
        SearchResult(
            title=one["name"],
            description=" · ".join(
                [str(one["kind"]), *([str(one["tenant"])] if sees_several() else []), *one["details"], one["by"]]
            ),
            link=one["url"],
            icon=one["icon"],
        )
        for one in found
    ]
    everything = SearchResult(
        title=_("Search all records"),
        description=_("Names, numbers, addresses and ids that are “%(term)s”") % {"term": term},
        link=f"{reverse(FIND)}?{urlencode({'q': term})}",
        icon="search",
    )
    return [*results, everything]
