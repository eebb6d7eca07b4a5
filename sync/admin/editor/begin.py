"""A draft that begins from something else: a file, another tenant's mapping, the CRM's defaults, an earlier version.

Each is shown first, as what would differ from the mapping in force, and becomes a draft only when the person says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from integrations.models import CrmConnection
from mapping import editor_documents, editor_drafts
from mapping.documents import InvalidDocument
from mapping.editor_checks import findings
from mapping.editor_diff import changes, label_of
from mapping.editor_drafts import Overtaken
from mapping.editor_form import shown
from mapping.editor_rows import Row, canonical, default_rows, in_force, ordered
from mapping.models import MappingVersion
from sync.admin.editor.context import Page, Said
from sync.admin.editor.urls import EditorBase, editor_url, urls_of
from sync.models import Rehearsal

SALT = "mapping editor: rows of a draft to come"
MINUTES = 60
MOST_OFFERED = 200


@dataclass(frozen=True)
class Proposal:
    rows: Sequence[Row]
    source: str
    remarks: Sequence[str] = ()


class BeginPages(EditorBase):
    def begin_page(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        page = Page(connection, int(request.user.pk or 0))
        if request.POST.get("step") == "apply":
            return self._apply(request, page)
        problems: list[str] = []
        proposal = None
        try:
            proposal = _proposed(request, connection)
        except InvalidDocument as error:
            problems = [str(one) for one in error.problems]
        context = {
            "connection": connection,
            "problems": problems,
            "proposal": proposal,
            "others": _others(connection),
            "draft": page.draft,
            "urls": urls_of(connection),
            "largest": f"{editor_documents.LARGEST:,}",
        }
        if proposal:
            context |= _compared(page, proposal)
        title = _("Begin the mapping of %(connection)s from…") % {"connection": connection}
        return self.page(request, "admin/mapping_begin.html", title, **context)

    def _apply(self, request: HttpRequest, page: Page) -> HttpResponse:
        try:
            rows: Any = signing.loads(request.POST.get("rows", ""), salt=_salt(page), max_age=MINUTES * 60)
        except signing.BadSignature:
            self.message_user(request, _("This page was open for too long. Choose again."), messages.WARNING)
            return redirect(editor_url(page.connection, "editor_begin"))
        revision = int(request.POST.get("revision") or 0) if request.POST.get("revision", "").isdigit() else 0
        try:
            editor_drafts.save(page.connection, page.user_id, rows, based_on=page.now.number, revision=revision)
        except Overtaken as error:
            self.message_user(request, str(error), messages.WARNING)
            return redirect(editor_url(page.connection))
        self.message_user(request, _("This is your draft now. Nothing of it is in force."))
        return redirect(editor_url(page.connection))


def _salt(page: Page) -> str:
    return f"{SALT} {page.connection.pk}"


def _compared(page: Page, proposal: Proposal) -> dict[str, Any]:
    edited = shown(proposal.rows, revision=0, based_on=page.now.number)
    labels = {one.key: label_of(one.row["dialer_field"]) for one in edited.rows}
    found = findings(edited.rows, page.catalog, page.now.rows)
    return {
        "changes": changes(page.now.rows, proposal.rows),
        "said": [(labels.get(one.key, ""), Said(one)) for one in found if one.level != "note"],
        "sealed": signing.dumps(list(proposal.rows), salt=_salt(page), compress=True),
        "revision": page.draft.revision if page.draft else 0,
    }


# --- where from --------------------------------------------------------------------------------------------------------


def _proposed(request: HttpRequest, connection: CrmConnection) -> Proposal | None:
    """What was chosen; None while nothing is. Raises InvalidDocument, and Http404 for what isn't there for this person."""
    ways: dict[str, Callable[[HttpRequest, CrmConnection], Proposal]] = {
        "file": _from_file,
        "copy": _from_other,
        "defaults": _from_defaults,
    }
    step = request.POST.get("step", "")
    if step in ways:
        return ways[step](request, connection)
    if request.GET.get("version"):
        return _from_version(request, connection)
    return _from_rehearsal(request, connection) if request.GET.get("rehearsal") else None


def _from_file(request: HttpRequest, connection: CrmConnection) -> Proposal:
    sent: Any = request.FILES.get("file")
    if sent is None:
        raise InvalidDocument([editor_documents.no_file()])
    content = sent.read(editor_documents.LARGEST + 1)
    found = editor_documents.read(content, connection.provider)
    remarks = []
    if found.of_others:
        text = _("%(count)d rows of the file are for another CRM or for calls, and are left alone.")
        remarks.append(text % {"count": found.of_others})
    return Proposal(found.rows, _("the file %(name)s") % {"name": sent.name}, remarks)


def _from_other(request: HttpRequest, connection: CrmConnection) -> Proposal:
    wanted = request.POST.get("from", "")
    other = next((one for one in _others(connection) if str(one.pk) == wanted), None)
    if other is None:
        raise Http404("There is no such connection.")
    rows = in_force(other.tenant_id, other.provider).rows
    tenant: Any = other.tenant
    remark = _("Only the rows are copied. Fields that this CRM account doesn't have are marked below.")
    return Proposal(rows, _("the mapping of %(tenant)s") % {"tenant": tenant.name}, [remark])


def _from_defaults(_request: HttpRequest, connection: CrmConnection) -> Proposal:
    return Proposal(default_rows(connection.provider), _("the defaults of this CRM"))


def _from_version(request: HttpRequest, connection: CrmConnection) -> Proposal:
    rows = MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
    wanted = request.GET["version"]
    found = rows.filter(pk=wanted).first() if wanted.isascii() and wanted.isdigit() and len(wanted) < 18 else None
    if found is None:
        raise Http404("There is no such version.")
    return Proposal(ordered(map(canonical, found.rows)), _("version %(number)d") % {"number": found.number})


def _from_rehearsal(request: HttpRequest, connection: CrmConnection) -> Proposal:
    try:
        wanted = UUID(request.GET["rehearsal"])
    except ValueError as error:
        raise Http404("There is no such rehearsal.") from error
    found: Rehearsal | None = Rehearsal.objects.filter(connection=connection, pk=wanted).first()
    if found is None:
        raise Http404("There is no such rehearsal.")
    return Proposal(ordered(map(canonical, found.rows)), _("a rehearsal"))


def _others(connection: CrmConnection) -> list[CrmConnection]:
    """Connections of other tenants to the same CRM, as far as this person may see them."""
    rows = CrmConnection.objects.filter(provider=connection.provider).exclude(tenant_id=connection.tenant_id)
    return list(
        rows.select_related("tenant").only("id", "provider", "tenant__name").order_by("tenant__name")[:MOST_OFFERED]
    )
