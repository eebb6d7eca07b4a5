"""The queue of calls that need a person, and the three answers: this contact, a new one, nobody."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities import reviews
from activities.models import Call
from activities.reviews import OPEN
from activities.targets import TargetError
from integrations.admin_base import Question, page_action
from integrations.admin_html import page_url
from sync.admin.stories import person_name

if TYPE_CHECKING:
    from integrations.admin_base import TenantScopedAdmin as _Base
else:
    _Base = object

DECIDE = "activities.change_call"
BUTTONS = ("choose_contact", "new_contact", "keep_here")
MOST_SHOWN = 20


class NeedsPersonFilter(admin.SimpleListFilter):
    title = gettext_lazy("needs a person")
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("person", _("Needs a person")), *((one.value, str(one.label)) for one in OPEN)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = OPEN if self.value() == "person" else (self.value(),)
        return queryset.filter(review__in=wanted) if self.value() else queryset


class DecidesReviews(_Base):
    """Mixed in before the page of calls."""

    def review_buttons(self, request: HttpRequest, row: Call) -> list[str]:
        """The answers that make sense for this call."""
        if row.review not in OPEN or not request.user.has_perm(DECIDE):
            return []
        if row.review == Call.Review.UNKNOWN_NUMBER:
            return list(BUTTONS)
        return ["choose_contact", "keep_here"] if row.contact_id is None else ["keep_here"]

    @page_action(gettext_lazy("Choose the contact"), icon="person_search", permission=DECIDE)
    def choose_contact(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Call = self.found(request, object_id)
        if request.method != "POST":
            return self._people_page(request, row)
        try:
            reviews.belongs_to(row.pk, UUID(request.POST.get("contact", "")))
        except reviews.Decided:
            return self._over(request, row)
        except ValueError:
            return self._people_page(request, row)
        except TargetError as error:
            return self.answer(request, row, str(error), messages.ERROR)
        return self._decided(
            request, row, _("The call is this contact's now, and is logged in the CRMs that know them.")
        )

    @page_action(gettext_lazy("New contact"), icon="person_add", permission=DECIDE)
    def new_contact(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Call = self.found(request, object_id)
        question = Question(
            title=_("Make a contact of this number?"),
            lines=[
                _("A contact with the number %(number)s is made here and in each CRM that takes new people from us.")
                % {"number": row.phone},
                _(
                    "All calls that wait because nobody has this number are logged there as soon as the contact is in the CRM."
                ),
            ],
            button=_("Make the contact"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            calls = reviews.with_somebody_new(row.pk, person_name(request))
        except reviews.Decided:
            return self._over(request, row)
        text = ngettext("%(count)d call has its contact now.", "%(count)d calls have their contact now.", len(calls))
        return self._decided(request, row, text % {"count": len(calls)})

    @page_action(gettext_lazy("Keep it here"), icon="do_not_disturb_on", permission=DECIDE)
    def keep_here(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Call = self.found(request, object_id)
        question = Question(
            title=_("Keep this call out of the CRMs?"),
            lines=[_("The call stays here and is logged in no CRM. Nobody is asked about it again.")],
            button=_("Keep it here"),
        )
        page = self.ask(request, row, question)
        if page:
            return page
        try:
            reviews.keep_here(row.pk)
        except reviews.Decided:
            return self._over(request, row)
        return self._decided(request, row, _("The call stays here."))

    def _decided(self, request: HttpRequest, row: Call, text: str) -> HttpResponse:
        self.log_change(request, row, text)
        return self.answer(request, row, text)

    def _over(self, request: HttpRequest, row: Call) -> HttpResponse:
        return self.answer(request, row, _("This call waits for nobody any more. Nothing was changed."), messages.INFO)

    def _people_page(self, request: HttpRequest, row: Call) -> HttpResponse:
        words = request.GET.get("q", "").replace("\x00", "")[:200]
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Whom was this call with?"),
            "lines": [_("Number: %(number)s") % {"number": row.phone or "–"}, row.get_review_display()],
            "words": words,
            "people": reviews.candidates(row, words, MOST_SHOWN),
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/choose_contact.html", context)
