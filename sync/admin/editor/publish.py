"""Putting a draft in force from the editor: what would change, what has to be seen first, and the button. And dropping a draft."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_html import page_link, page_url
from integrations.models import CrmConnection
from mapping import editor_drafts
from mapping.compiled import MappingError
from mapping.editor_checks import blocks
from mapping.editor_diff import label_of
from mapping.editor_drafts import Overtaken
from mapping.models import MappingDraft, MappingVersion
from sync import editor_publishing, promoting
from sync.admin.editor.context import Page, Said
from sync.admin.editor.urls import EditorBase, editor_url, urls_of
from sync.admin.stories import person_name
from sync.editor_preview import Subject
from sync.editor_publishing import Concerned
from sync.models import Rehearsal
from sync.rehearsing import Refused

LONGEST_NOTE = 200


class PublishPages(EditorBase):
    def publish_page(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        page = Page(connection, int(request.user.pk or 0))
        draft = page.draft
        if draft is None:
            self.message_user(
                request, _("There is no draft to publish. Change something and save it first."), messages.WARNING
            )
            return redirect(editor_url(connection))
        rehearsal = editor_publishing.rehearsal_of(draft)
        if request.method == "POST":
            return self._put_in_force(request, page, draft, rehearsal)
        edited = page.opened()
        found = page.findings(edited)
        labels = {one.key: label_of(one.row["dialer_field"]) for one in edited.rows}
        count = editor_publishing.concerned(connection)
        context = {
            "connection": connection,
            "changes": page.changes(edited),
            "said": [(labels.get(one.key, ""), Said(one)) for one in found if one.level != "note"],
            "blocked": blocks(found),
            "overtaken": page.is_overtaken(edited),
            "rehearsal": rehearsal,
            "rehearsal_url": page_url(rehearsal) if rehearsal else "",
            "ready": rehearsal is not None and rehearsal.status == Rehearsal.Status.READY,
            "refusal": editor_publishing.why_not(rehearsal) if rehearsal else "",
            "would": _would(rehearsal) if rehearsal else "",
            "concerned": _concerned(count),
            "urls": urls_of(connection),
        }
        return self.page(request, "admin/mapping_publish.html", _("Publish the draft?"), **context)

    def _put_in_force(
        self, request: HttpRequest, page: Page, draft: MappingDraft, rehearsal: Rehearsal | None
    ) -> HttpResponse:
        here = redirect(editor_url(page.connection, "editor_publish"))
        if blocks(page.findings(page.opened())):
            self.message_user(
                request, _("Nothing was published: the draft has errors. Mend them first."), messages.ERROR
            )
            return here
        try:
            if request.POST.get("how") == "rehearsed" and rehearsal is not None:
                promoting.promote(rehearsal, by=person_name(request), user_id=request.user.pk)
                version = self._newest(page.connection)
            elif request.POST.get("how") == "unrehearsed":
                note = request.POST.get("note", "").strip()[:LONGEST_NOTE] or _("Edited, not rehearsed")
                version = editor_drafts.publish(draft, note=note, user_id=page.user_id)
            else:
                return here
        except (Refused, Overtaken) as error:
            self.message_user(request, str(error), messages.ERROR)
            return here
        except MappingError as error:
            text = _("Nothing was saved, because this mapping can't be used. %(problems)s") % {"problems": error}
            self.message_user(request, text, messages.ERROR)
            return here
        self.log_change(request, version, f"Published from the editor: {version}.")
        text = _("%(version)s is in force now. The runs show how far its fields are brought up to date.")
        seen = page.subject(request.GET.get("contact", ""), "")
        self.message_user(request, format_html("{} {}", text % {"version": version}, _way_to(seen)))
        return redirect(editor_url(page.connection, contact=seen.contact.pk if seen else ""))

    def _newest(self, connection: CrmConnection) -> Any:
        rows = MappingVersion.objects.filter(tenant_id=connection.tenant_id, crm_provider=connection.provider)
        return rows.order_by("-number").first()

    def discard_page(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        if request.method == "POST":
            gone = editor_drafts.discard(connection, int(request.user.pk or 0))
            self.message_user(request, _("The draft is dropped.") if gone else _("There was no draft."))
            return redirect(editor_url(connection))
        context = {
            "lines": [_("Your changes since the version in force are lost. What is in force stays as it is.")],
            "button": _("Drop the draft"),
            "danger": True,
            "back": editor_url(connection),
        }
        return self.page(request, "admin/mapping_ask.html", _("Drop your draft?"), **context)

    def update_page(self, request: HttpRequest, connection: CrmConnection) -> HttpResponse:
        """Brings a draft on top of the version that somebody else put in force."""
        page = Page(connection, int(request.user.pk or 0))
        draft = page.draft
        if draft is None or draft.based_on == page.now.number:
            return redirect(editor_url(connection))
        draft.connection = connection
        found = editor_drafts.rebased(draft, page.now)
        if request.method == "POST":
            editor_drafts.take_over(draft, page.now)
            self.message_user(request, _("Your draft stands on the version in force now. Look at it, then publish it."))
            return redirect(editor_url(connection))
        lines = [_("What you changed stays as you have it; everything else becomes as it is in force now.")]
        if found.both:
            names = ", ".join(label_of(one) for one in found.both)
            lines.append(
                _("Both of you changed: %(fields)s. Your rows are kept; compare the versions first.")
                % {"fields": names}
            )
        context = {"lines": lines, "button": _("Bring it up to date"), "danger": False, "back": editor_url(connection)}
        return self.page(request, "admin/mapping_ask.html", _("Bring your draft up to date?"), **context)


def _way_to(seen: Subject | None) -> str:
    """To the contact on which the change was previewed."""
    return page_link(seen.contact, _("See it on %(contact)s") % {"contact": seen.contact}) if seen else ""


def _would(rehearsal: Rehearsal) -> str:
    counts = rehearsal.counts
    facts = {
        "updated": f"{counts.get('updated', 0):,}",
        "total": f"{rehearsal.done:,}",
        "open": f"{counts.get('open', 0):,}",
        "errored": f"{counts.get('errored', 0):,}",
    }
    return (
        _(
            "%(updated)s of %(total)s records change, %(open)s conflicts wait for a person afterwards, "
            "and %(errored)s records have a value that can't be taken over."
        )
        % facts
    )


def _concerned(found: Concerned) -> str:
    if found.at_least:
        return _("More than %(count)s linked records may be concerned.") % {"count": f"{found.records:,}"}
    text = ngettext(
        "%(count)s linked record may be concerned.", "%(count)s linked records may be concerned.", found.records
    )
    return text % {"count": f"{found.records:,}"}
