"""On a contact's page: everything that is held of the person as a document, and erasing them for good."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities import person_erasing, person_exporting
from activities.person import Person, of_contact
from activities.person_erasing import UnderWay
from integrations import audit, tenancy
from integrations.access import may_change_in
from integrations.admin_base import AdminPage, Question, page_action
from sync.models import Contact

if TYPE_CHECKING:
    _Base = AdminPage
else:
    _Base = object
CHANGE = "sync.change_contact"
MOST_NAMED = 20


class PersonPages(_Base):
    """Mixed in before the page of contacts. For admins of the tenant, whether the contact is deleted already or not."""

    actions_detail = ("export_person", "erase_person")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and may_change_in(request.user, row.tenant_id) else []

    @page_action(gettext_lazy("Export the person"), icon="download", permission=CHANGE)
    def export_person(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._mine(request, object_id)
        question = Question(
            title=_("Export everything that is held of this person?"),
            lines=[
                _(
                    "One JSON document: values and their history, calls with notes and recordings, what was said to the CRMs."
                ),
                _("It names what the CRMs hold, with links. The export is noted in the audit log."),
            ],
            button=_("Export"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        with tenancy.scope(row.tenant_id):
            document = person_exporting.export(of_contact(row))
        audit.note(request, audit.EXPORTED, row, "person")
        text = json.dumps(document, default=str, ensure_ascii=False, indent=2)
        return HttpResponse(
            text,
            content_type="application/json",
            headers={
                "Content-Disposition": f'attachment; filename="person-{row.pk}.json"',
                "Cache-Control": "no-store",
            },
        )

    @page_action(gettext_lazy("Erase the person"), icon="delete_forever", permission=CHANGE, danger=True)
    def erase_person(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._mine(request, object_id)
        with tenancy.scope(row.tenant_id):
            person = of_contact(row)
            page = self.ask(request, row, _question(person))
            if page:
                return page
            return self._erase(request, row, person)

    def _erase(self, request: HttpRequest, row: Contact, person: Person) -> HttpResponse:
        try:
            done = person_erasing.erase(person, request.user.get_username())
        except UnderWay:
            text = _("Work for this person is under way. Nothing was erased: try again in a minute.")
            return self.answer(request, row, text, messages.WARNING)
        audit.note(request, audit.PERSON_ERASED, row)
        text = (
            _("The person is erased here. Below stands what the CRMs still hold.")
            if done.crm_records
            else _("The person is erased here. No CRM holds anything of them as far as we know.")
        )
        return self.answer(request, row, text)

    def _mine(self, request: HttpRequest, object_id: str) -> Contact:
        row: Contact = self.found(request, object_id)
        if not (request.user.has_perm(CHANGE) and may_change_in(request.user, row.tenant_id)):
            raise PermissionDenied
        return row


def _question(person: Person) -> Question:
    calls = ngettext(
        "Values, history and requests to the CRMs go, and whom %(count)d call was with and what was said.",
        "Values, history and requests to the CRMs go, and whom %(count)d calls were with and what was said.",
        len(person.call_ids),
    )
    named = [f"{one['provider']} {one['type']} {one['id']}" for one in person.crm_records[:MOST_NAMED]]
    left = _("This stays in the CRMs, to be erased there if that is wanted: %(records)s") % {
        "records": ", ".join(named)
    }
    return Question(
        title=_("Erase this person for good?"),
        lines=[
            calls % {"count": len(person.call_ids)},
            _("Figures stay: that there were calls, when and how long. Nobody can take this back."),
            *([left, _("None of these records is taken in again.")] if named else []),
        ],
        button=_("Erase for good"),
        danger=True,
    )
