"""The page of possible duplicates: both people side by side, why they may be one, and the two answers."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Case, When
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import Panel, Question, ReadOnlyAdmin, RecentValues, TenantScopedAdmin, page_action
from integrations.admin_html import ago_column, badge_column, bullets, page_link, plain, spaced
from mapping.fields import field_name
from sync import folding, matching, reviews, values
from sync.admin.in_turn import InTurn, marked_pair
from sync.models import MatchReview

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
    "one_record": gettext_lazy("The CRM made one record of both"),
}
FOUND_BY = {
    matching.CRM_ID: gettext_lazy("The CRM's id"),
    matching.EMAIL: gettext_lazy("The e-mail"),
    matching.PHONE: gettext_lazy("The phone number"),
    matching.COMPOSITE: gettext_lazy("Name and company"),
    matching.FUZZY: gettext_lazy("Likeness of name and company"),
    folding.TOLD: gettext_lazy("The CRM, which merged them"),
}
OFFERED = {"same_person": ("open",), "different_people": ("open",), "skip": ("open",), "undo": ("same",)}


def found_by(row: MatchReview) -> str:
    """What made us ask whether two people are one, in words."""
    return how_found(row.by)


def how_found(by: str) -> str:
    return str(FOUND_BY.get(by) or spaced(by))


COMPARED = (*folding.FILLED, "do_not_call", "call_count", "last_called_at")


class HowFilter(RecentValues):
    title = gettext_lazy("found by")
    parameter_name = "by"
    named = staticmethod(how_found)


class MatchReviewAdmin(InTurn, ReadOnlyAdmin, TenantScopedAdmin):
    list_display = (
        STATUS,
        "pair",
        "score",
        "why",
        "how",
        ago_column("created_at", gettext_lazy("found")),
        "decided_by",
    )
    list_filter = ("status", HowFilter)
    list_select_related = ("contact", "candidate")
    exact_search = ("contact_id", "candidate_id")
    search_help_text = gettext_lazy("A contact's whole id")
    ordering = (Case(When(status=MatchReview.Status.OPEN, then=0), default=1), "-score", "-pk")
    nothing_yet = gettext_lazy(
        "Nobody has to decide anything here. Contacts that may be the same person are listed with what speaks for it and against."
    )
    waiting: ClassVar[Any] = {"status": MatchReview.Status.OPEN}
    turn = ("-score", "-pk")
    actions_list = ("in_turn",)
    actions_detail = ("same_person", "different_people", "skip", "undo")
    fields: ClassVar[Any] = ("pair", STATUS, "score", "why", "how", "record", "created_at", "decided_at", "decided_by")
    only_if_filled = ("record", "decided_at", "decided_by")

    @admin.display(description=gettext_lazy("may be the same"))
    def pair(self, row: MatchReview) -> str:
        return bullets([page_link(row.contact), page_link(row.candidate)])

    @admin.display(description=gettext_lazy("found by"), ordering="by")
    def how(self, row: MatchReview) -> str:
        return found_by(row)

    @admin.display(description=gettext_lazy("reasons"))
    def why(self, row: MatchReview) -> str:
        return bullets(REASONS.get(str(one), one) for one in row.reasons)

    def panels(self, request: HttpRequest, row: Any) -> Sequence[Panel]:
        ours, theirs = values.read(row.candidate, COMPARED), values.read(row.contact, COMPARED)
        rows = [[field_name(name), *marked_pair(_text(ours[name]), _text(theirs[name]))] for name in COMPARED]
        headers = [_("Field"), page_link(row.candidate), page_link(row.contact)]
        return [Panel(_("Side by side"), headers, rows, "")]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_matchreview")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, str(object_id))
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if row is not None and row.status in OFFERED[one.path]]

    @page_action(gettext_lazy("Same person"), icon="merge", permission="sync.change_matchreview")
    def same_person(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Are both the same person?"),
            lines=[
                _("The contact that was here first stays; what it leaves blank is filled from the other."),
                _("Links, history and calls move to it. The other contact is shown as deleted and names it."),
                _("It can be undone here until one of the two is changed or called."),
            ],
            button=_("Same person"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            survivor = reviews.are_same(row, request.user.get_username())
        except folding.NotMergeable as error:
            return self.answer(request, row, str(error), messages.ERROR)
        return self.go_on(request, row, _("%(person)s is one contact now.") % {"person": survivor})

    @page_action(gettext_lazy("Undo"), icon="undo", permission="sync.change_matchreview")
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        question = Question(
            title=_("Make these two contacts again?"),
            lines=[
                _("The other contact is there again, with the links, history and calls that it had."),
                _("The one that stayed gets back the values that it had before. Both are written to their CRMs again."),
                _("“Do not call” stays set wherever it is set now."),
                _("The question whether they are the same person is open again."),
            ],
            button=_("Undo"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            reviews.undo(row, request.user.get_username())
        except folding.NotMergeable as error:
            return self.answer(request, row, str(error), messages.ERROR)
        return self.answer(request, row, _("They are two contacts again."))

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
        return self.go_on(request, row, _("They stay two contacts."))


def _text(value: Any) -> str:
    return "" if value is None else plain(value)
