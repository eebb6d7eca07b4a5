"""The page of possible duplicates: both people side by side, why they may be one, and the two answers."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, TenantScopedAdmin, page_action
from integrations.admin_html import ago_column, badge_column, bullets, page_link, plain
from sync import reviews, values
from sync.models import Contact, MatchReview

LEVELS = {"open": "warning", "same": "good", "different": "muted"}
STATUS = badge_column("status", gettext_lazy("status"), LEVELS)
REASONS = {
    "email_same": gettext_lazy("Same e-mail"),
    "email_differs": gettext_lazy("Different e-mails"),
    "phone_same": gettext_lazy("Same phone number"),
    "phone_differs": gettext_lazy("Different phone numbers"),
    "name_same": gettext_lazy("Same name"),
    "name_differs": gettext_lazy("Different names"),
    "company_same": gettext_lazy("Same company"),
    "company_differs": gettext_lazy("Different companies"),
    "name_company_alike": gettext_lazy("Name and company are spelled alike"),
}
COMPARED = (*reviews.FILLED, "do_not_call", "call_count", "last_called_at")


class MatchReviewAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    list_display = ("pair", STATUS, "score", "why", "by", ago_column("created_at", gettext_lazy("found")), "decided_by")
    list_filter = ("status", "by")
    list_select_related = ("contact", "candidate")
    exact_search = ("contact_id", "candidate_id")
    search_help_text = gettext_lazy("A contact's whole id")
    # Open comes after different and before same in the alphabet, so the newest first; the filter shows what is open.
    ordering = ("-pk",)
    actions_detail = ("same_person", "different_people")
    fields: ClassVar[Any] = ("pair", STATUS, "score", "why", "by", "record", "created_at", "decided_at", "decided_by")

    @admin.display(description=gettext_lazy("may be the same"))
    def pair(self, row: MatchReview) -> str:
        return bullets([page_link(row.contact), page_link(row.candidate)])

    @admin.display(description=gettext_lazy("reasons"))
    def why(self, row: MatchReview) -> str:
        return bullets(REASONS.get(str(one), one) for one in row.reasons)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        ours, theirs = values.read(row.candidate, COMPARED), values.read(row.contact, COMPARED)
        rows = [
            [Contact._meta.get_field(name).verbose_name, plain(ours[name]), plain(theirs[name])]  # type: ignore[union-attr]
            for name in COMPARED
        ]
        headers = [_("Field"), page_link(row.candidate), page_link(row.contact)]
        return [Panel(_("Side by side"), headers, rows, "")]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_matchreview")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if row is not None and row.status == MatchReview.Status.OPEN else []

    @page_action(gettext_lazy("Same person"), icon="merge", permission="sync.change_matchreview")
    def same_person(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Are both the same person?"),
            lines=[
                _("The contact that was here first stays; what it leaves blank is filled from the other."),
                _("Links, history and calls move to it. The other contact is shown as deleted and names it."),
                _("This can't be undone."),
            ],
            button=_("Same person"),
            danger=True,
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            survivor = reviews.are_same(row, request.user.get_username())
        except reviews.NotMergeable as error:
            return self.answer(request, row, str(error), messages.ERROR)
        return self.answer(request, row, _("%(person)s is one contact now.") % {"person": survivor})

    @page_action(gettext_lazy("Different people"), icon="group", permission="sync.change_matchreview")
    def different_people(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Are these different people?"),
            lines=[_("Both contacts stay as they are. Nobody is asked about these two again.")],
            button=_("Different people"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        reviews.are_different(row, request.user.get_username())
        return self.answer(request, row, _("They stay two contacts."))
