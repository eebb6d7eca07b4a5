"""The mapping editor: one page for a connection, on which a draft is made, seen on a real record, rehearsed and put in force.

Every button sends the whole form, and the answer is the page again with what the button did; nothing is in force before it is
published, and nothing is kept before it is saved. With JavaScript the same answers are taken in without leaving the page: the form
alone, or, while somebody types, what is said beside the rows.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import update_wrapper
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Media
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from integrations.admin_base import SECRET_COLUMNS
from integrations.admin_html import page_url
from integrations.errors import CrmError
from integrations.models import CrmConnection
from mapping import editor_drafts
from mapping.editor_checks import blocks
from mapping.editor_drafts import Overtaken
from mapping.editor_form import NEED_OPTIONS, Edited, EditedRow, added, read
from mapping.models import MappingVersion
from sync import editor_publishing, editor_subjects
from sync.admin.editor.begin import BeginPages
from sync.admin.editor.context import Page, Said
from sync.admin.editor.publish import PublishPages
from sync.admin.editor.urls import CHANGE, VIEW, editor_url, name_of, urls_of
from sync.admin.editor.versions import VersionPages
from sync.admin.stories import person_name
from sync.editor_preview import Subject
from sync.rehearsing import Refused

CONNECTIONS_SHOWN = 200
SCRIPTS: Any = (Script("dialbridge/mapping.js", defer=True),)
FRAGMENT = "X-Fragment"
"""What of the page a script wants: `form`, or `cells`, which is what is said beside the rows."""
TEMPLATES = {"form": "admin/mapping_form.html", "cells": "admin/mapping_cells.html"}
View = Callable[..., HttpResponse]


class MappingAdmin(BeginPages, PublishPages, VersionPages):
    """The list of rows, and the editor's pages."""

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, str, View]] = [
            ("editor", "editor/<uuid:connection_id>/", self.editor),
            ("editor_publish", "editor/<uuid:connection_id>/publish/", self.publish_page),
            ("editor_discard", "editor/<uuid:connection_id>/discard/", self.discard_page),
            ("editor_update", "editor/<uuid:connection_id>/update/", self.update_page),
            ("editor_versions", "editor/<uuid:connection_id>/versions/", self.versions_page),
            ("editor_export", "editor/<uuid:connection_id>/export/", self.export),
            ("editor_begin", "editor/<uuid:connection_id>/begin/", self.begin_page),
        ]
        own = [path(address, self._of_connection(view), name=name_of(name)) for name, address, view in pages]
        start = path("editor/", self.admin_site.admin_view(self.start), name=name_of("editor_start"))
        return [start, *own, *super().get_urls()]

    # --- which connection ---------------------------------------------------------------------------------------------

    def _of_connection(self, view: View) -> View:
        """The page of a connection; of another tenant's there is none."""

        def page(request: HttpRequest, connection_id: UUID) -> HttpResponse:
            if not request.user.has_perm(VIEW):
                raise Http404("There is no such connection.")
            if request.method == "POST" and not request.user.has_perm(CHANGE):
                raise PermissionDenied
            return view(request, _connection(connection_id))

        return self.admin_site.admin_view(update_wrapper(page, view))

    def start(self, request: HttpRequest) -> HttpResponse:
        """The way in: the only connection's editor, or the choice among several."""
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        found = list(_connections().order_by("tenant__name", "provider")[: CONNECTIONS_SHOWN + 1])
        if len(found) == 1:
            return redirect(editor_url(found[0]))
        wanted = request.GET.get("q", "").strip()
        if wanted:
            found = list(_connections().filter(tenant__name__icontains=wanted).order_by("tenant__name", "provider"))
        numbers = _numbers(found)
        rows = [
            (one, editor_url(one), numbers.get((one.tenant_id, one.provider), 0)) for one in found[:CONNECTIONS_SHOWN]
        ]
        context = {"rows": rows, "wanted": wanted, "more": len(found) > CONNECTIONS_SHOWN}
        return self.page(request, "admin/mapping_start.html", _("Field mappings"), **context)

    # --- the editor ---------------------------------------------------------------------------------------------------

    def editor(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        page = Page(connection, _user_id(request))
        if request.method != "POST":
            about = request.GET.get("contact", "")
            return self._shown(request, page, page.opened(), page.subject(about, ""))
        edited = read(request.POST, page.catalog.objects)
        action, _colon, key = request.POST.get("do", "preview").partition(":")
        subject = page.subject(
            request.POST.get("contact", ""), request.POST.get("find", ""), request.POST.get("fresh", "")
        )
        if action in ("save", "rehearse", "publish"):
            return self._kept(request, page, edited, subject, action)
        if action == "read":
            return self._read(request, page, edited, subject)
        edited, focus = _worked(edited, action, key, page.catalog.objects[0])
        return self._shown(request, page, edited, subject, focus=focus)

    def _kept(
        self, request: HttpRequest, page: Page, edited: Edited, subject: Subject | None, action: str
    ) -> HttpResponse:
        """Saves the draft, and goes on with it."""
        connection = page.connection
        try:
            draft = editor_drafts.save(
                connection, page.user_id, edited.plain, based_on=edited.based_on, revision=edited.revision
            )
        except Overtaken as error:
            self.message_user(request, str(error), messages.WARNING)
            held = replace(edited, revision=page.draft.revision if page.draft else 0)
            return self._shown(request, page, held, subject)
        if action == "save":
            self.message_user(request, _("The draft is saved. Nothing of it is in force."))
            return redirect(editor_url(connection, contact=subject.contact.pk if subject else ""))
        if action == "publish":
            return redirect(editor_url(connection, "editor_publish", contact=subject.contact.pk if subject else ""))
        try:
            made = editor_publishing.rehearse(draft, by=person_name(request))
        except Refused as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(editor_url(connection))
        self.message_user(
            request, _("The draft is being tried on what is known of the records. Nothing is changed by it.")
        )
        return redirect(page_url(made))

    def _read(self, request: HttpRequest, page: Page, edited: Edited, subject: Subject | None) -> HttpResponse:
        if subject is None:
            return self._shown(request, page, edited, None)
        try:
            found = editor_subjects.read_now(page.connection, subject, edited.kept, page.catalog)
        except CrmError as error:
            said = _("The record could not be read: %(problem)s") % {"problem": error.message}
            return self._shown(request, page, edited, subject, said=said)
        said = _("This is the record as the CRM has it now.") if found else _("The CRM does not show this record now.")
        return self._shown(request, page, edited, found or subject, said=said)

    def _shown(
        self,
        request: HttpRequest,
        page: Page,
        edited: Edited,
        subject: Subject | None,
        *,
        focus: str = "",
        said: str = "",
    ) -> HttpResponse:
        part = request.headers.get(FRAGMENT, "")
        found = page.findings(edited)
        context = {
            "connection": page.connection,
            "page": page,
            "edited": edited,
            "rows": page.rows(edited, found, subject),
            "general": [Said(one) for one in found if not one.key],
            "counts": _counted(found),
            "blocked": blocks(found),
            "changes": page.changes(edited),
            "dirty": page.is_dirty(edited),
            "overtaken": page.is_overtaken(edited),
            "subject": subject,
            "subjects": _offered(page, subject),
            "sealed": editor_subjects.sealed(subject) if subject and subject.fresh else "",
            "focus": focus,
            "said": said,
            "urls": urls_of(page.connection),
            "may_change": request.user.has_perm(CHANGE),
        }
        if part == "cells":
            return TemplateResponse(request, TEMPLATES["cells"], context)
        context |= {"dialer_fields": page.dialer_fields(), "crm_fields": page.crm_fields(subject)}
        if part == "form":
            return TemplateResponse(request, TEMPLATES["form"], context)
        context |= {
            "rehearsal": editor_publishing.rehearsal_of(page.draft),
            "media": Media(js=SCRIPTS),
        }
        title = _("Field mapping of %(connection)s") % {"connection": page.connection}
        return self.page(request, "admin/mapping_editor.html", title, **context)


# --- what a button does ------------------------------------------------------------------------------------------------


def _worked(edited: Edited, action: str, key: str, crm_object: str) -> tuple[Edited, str]:
    """The form after a button, and which part of it is to be at hand then."""
    changes: dict[str, Callable[[EditedRow], EditedRow]] = {
        "remove": lambda one: replace(one, removed=True, open=False),
        "keep": lambda one: replace(one, removed=False),
        "open": lambda one: replace(one, open=True),
        "close": lambda one: replace(one, open=one.row["transform"] in NEED_OPTIONS and not one.row["options"]),
        "rule": _with_rule,
    }
    if action == "add":
        edited, made = added(edited, crm_object, crm_field=key)
        return edited, f"r{made}-dialer_field"
    if action not in changes:
        return edited, ""
    held = replace(edited, rows=[one for one in edited.rows if one.key != key or one.was or action != "remove"])
    focus = {"remove": f"r{key}-keep", "open": f"r{key}-details", "rule": f"r{key}-rule"}.get(
        action, f"r{key}-dialer_field"
    )
    return held.with_row(key, changes[action]), focus


def _with_rule(one: EditedRow) -> EditedRow:
    rule = {"type": "length", "params": {}, "errorMessage": ""}
    return replace(one, open=True, row={**one.row, "validations": [*one.row["validations"], rule]})


def _counted(found: Any) -> dict[str, int]:
    return {level: sum(1 for one in found if one.level == level) for level in ("error", "warning", "note")}


def _offered(page: Page, subject: Subject | None) -> list[Subject]:
    known = {one.contact.pk for one in page.last_changed}
    extra = [subject] if subject and subject.contact.pk not in known else []
    return [*extra, *page.last_changed]


# --- connections -------------------------------------------------------------------------------------------------------


def _connections() -> "QuerySet[CrmConnection]":
    rows: QuerySet[CrmConnection] = CrmConnection.objects.select_related("tenant").defer(*SECRET_COLUMNS)
    return rows


def _connection(connection_id: UUID) -> CrmConnection:
    found = _connections().filter(pk=connection_id).first()
    if found is None:
        raise Http404("There is no such connection.")
    return found


def _numbers(found: list[CrmConnection]) -> dict[tuple[UUID, str], int]:
    rows = MappingVersion.objects.filter(tenant_id__in={one.tenant_id for one in found})
    newest = rows.order_by("tenant_id", "crm_provider", "-number").distinct("tenant_id", "crm_provider")
    return {(one.tenant_id, one.crm_provider): one.number for one in newest.defer("rows")}


def _user_id(request: HttpRequest) -> int:
    return int(request.user.pk or 0)
