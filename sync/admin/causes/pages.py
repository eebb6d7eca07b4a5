"""The pages of failures by cause: cards of what fails, one page for each cause, and the buttons that see to it.

Who may see several tenants sees a cause over all of them, and may narrow every page and button to one.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import audit, tenancy
from integrations.admin_base import Question, page_action, sees_several
from integrations.models import Tenant
from sync.admin.causes.shown import address, card, cause_page, counted, progress_of
from sync.admin.job_page import JobPage, ReasonForm
from sync.causes import counting, noting, retrying, snoozing
from sync.causes import words as causes_words
from sync.causes.before import before
from sync.causes.counting import Pile
from sync.models import FailureCause

VIEW, REPLAY = "sync.view_syncjob", "sync.change_syncjob"
MOST_CARDS = 100
Page = Callable[[HttpRequest], HttpResponse]
Asked = tuple[FailureCause, Pile | None, Tenant | None]


class JobAdmin(JobPage):
    """The job's pages, to which this adds those of causes."""

    actions_list = ("causes",)

    def get_urls(self) -> list[URLPattern]:
        own = [
            self._page("cause", self.cause, VIEW),
            self._page("cause_progress", self.cause_progress, VIEW),
            self._page("cause_try", self.cause_try, REPLAY),
            self._page("cause_replay", self.cause_replay, REPLAY),
            self._page("cause_dismiss", self.cause_dismiss, REPLAY),
            self._page("cause_snooze", self.cause_snooze, REPLAY),
            self._page("cause_wake", self.cause_wake, REPLAY),
        ]
        return [*own, *super().get_urls()]

    def _page(self, name: str, view: Page, permission: str) -> URLPattern:
        def page(request: HttpRequest) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request)

        return path(f"{name}/", self.admin_site.admin_view(page), name=f"sync_syncjob_{name}")

    # --- looking ------------------------------------------------------------------------------------------------------

    @page_action(gettext_lazy("By cause"), icon="stacks", permission=VIEW)
    def causes(self, request: HttpRequest) -> HttpResponse:
        """The cards. Whether a menu's number agrees with them: a cause is counted by its jobs, as there."""
        everything = counting.piles()
        found = [pile for pile in everything if not pile.is_snoozed]
        silenced = [pile for pile in everything if pile.is_snoozed]
        earlier = before(found[:MOST_CARDS])
        context = {
            "cards": [card(pile, earlier.get(pile.cause.fingerprint, ())) for pile in found[:MOST_CARDS]],
            "silenced": [
                {**card(pile, ()), "wake_url": address("cause_wake", pile.cause.fingerprint)}
                for pile in silenced[:MOST_CARDS]
            ],
            "may_change": request.user.has_perm(REPLAY),
            "more": max(0, len(found) - MOST_CARDS),
            "lead": _lead(found),
            "unsorted": noting.unsorted(),
            "list_url": f"{address('changelist')}?state__exact=dead",
        }
        return self._shown(request, "admin/causes.html", _("What needs help"), context)

    def cause(self, request: HttpRequest) -> HttpResponse:
        asked = self._asked(request)
        if asked is None:
            return redirect(address("causes"))
        known, pile, tenant = asked
        batch = _batch(request)
        with _only(tenant):
            progress = progress_of(batch) if batch else None
            if pile is None:
                return self._nothing_left(request, known, progress)
            shown = cause_page(pile, before([pile]).get(known.fingerprint, ()))
        context = {
            **shown,
            "progress": progress,
            "tenant": tenant if sees_several() else None,
            "all_url": address("cause", known.fingerprint),
            "may_change": request.user.has_perm(REPLAY),
            "try_url": address("cause_try", known.fingerprint, tenant),
            "replay_url": address("cause_replay", known.fingerprint, tenant),
            "dismiss_url": address("cause_dismiss", known.fingerprint, tenant),
            "snooze_url": address("cause_snooze", known.fingerprint, tenant),
            "wake_url": address("cause_wake", known.fingerprint, tenant),
            "spans": snoozing.CHOICES,
            "back": address("causes"),
        }
        return self._shown(request, "admin/cause.html", shown["card"]["title"], context)

    def cause_progress(self, request: HttpRequest) -> HttpResponse:
        """The part of a cause's page that changes while work goes on."""
        batch = _batch(request)
        progress = progress_of(batch) if batch else None
        if progress is None:
            return redirect(address("causes"))
        return TemplateResponse(request, "admin/cause_progress.html", {"progress": progress})

    def _nothing_left(self, request: HttpRequest, known: FailureCause, progress: Any) -> HttpResponse:
        context = {"gone": True, "progress": progress, "back": address("causes")}
        return self._shown(request, "admin/cause.html", causes_words.title(known), context)

    # --- acting -------------------------------------------------------------------------------------------------------

    def cause_try(self, request: HttpRequest) -> HttpResponse:
        asked = self._asked(request)
        if asked is None or request.method != "POST":
            return redirect(address("causes"))
        known, _pile, tenant = asked
        with _only(tenant):
            batch = retrying.try_one(known.fingerprint, _name(request), causes_words.title(known))
        if batch is None:
            self.message_user(request, _("Nothing is left of it that could be tried."), messages.INFO)
            return redirect(address("cause", known.fingerprint, tenant))
        return redirect(address("cause", known.fingerprint, tenant, batch=batch))

    def cause_replay(self, request: HttpRequest) -> HttpResponse:
        asked = self._asked(request)
        if asked is None:
            return redirect(address("causes"))
        known, pile, tenant = asked
        with _only(tenant):
            if pile is None or pile.for_good:
                self.message_user(request, _("Nothing is left of it that could be tried."), messages.INFO)
                return redirect(address("cause", known.fingerprint, tenant))
            question = _about_replaying(pile)
            page = self._ask(request, question, address("cause", known.fingerprint, tenant))
            if page:
                return page
            batch = retrying.replay_all(known.fingerprint, _name(request), causes_words.title(known))
        return redirect(address("cause", known.fingerprint, tenant, batch=batch))

    def cause_dismiss(self, request: HttpRequest) -> HttpResponse:
        asked = self._asked(request)
        if asked is None:
            return redirect(address("causes"))
        known, pile, tenant = asked
        with _only(tenant):
            if pile is None:
                return redirect(address("cause", known.fingerprint, tenant))
            form = ReasonForm(request.POST if request.method == "POST" else None)
            if not form.is_valid():
                return self._reason_page(request, form, pile, tenant)
            reason = form.cleaned_data["reason"]
            retrying.dismiss(known.fingerprint, _name(request), reason, causes_words.title(known))
        self.message_user(request, _("They were dismissed. Who did so and why is kept."), messages.SUCCESS)
        return redirect(address("causes"))

    def _reason_page(self, request: HttpRequest, form: ReasonForm, pile: Pile, tenant: Tenant | None) -> HttpResponse:
        context = {
            "lines": [
                causes_words.title(pile.cause),
                _whom(pile),
                _(
                    "They leave this page for good and are not tried again. The records stay as they are, here and in the CRM."
                ),
            ],
            "form": form,
            "button": _("Dismiss"),
            "back": address("cause", pile.cause.fingerprint, tenant),
        }
        return self._shown(request, "admin/cause_dismiss.html", _("Dismiss these failures?"), context)

    def cause_snooze(self, request: HttpRequest) -> HttpResponse:
        how = request.POST.get("how", "")
        if how not in dict(snoozing.CHOICES):
            return redirect(address("cause", request.GET.get("of", "")))
        return self._silence(request, lambda *told: snoozing.snooze(told[0], how, *told[1:]), _("Snoozed"))

    def cause_wake(self, request: HttpRequest) -> HttpResponse:
        return self._silence(request, snoozing.wake, _("Snooze ended"))

    def _silence(
        self, request: HttpRequest, change: Callable[[str, str, str], list[FailureCause]], words: str
    ) -> HttpResponse:
        asked = self._asked(request)
        if asked is None or request.method != "POST":
            return redirect(address("causes"))
        known, _pile, tenant = asked
        about = causes_words.title(known)
        with _only(tenant):
            rows = change(known.fingerprint, _name(request), about)
        for row in rows:
            audit.note(request, audit.CHANGED, row, f"{words}: {about}")
        text = _("%(words)s: %(about)s.") if rows else _("There was nothing to change: %(about)s.")
        self.message_user(request, text % {"words": words, "about": about}, messages.SUCCESS if rows else messages.INFO)
        return redirect(address("causes"))

    # --- what they share ----------------------------------------------------------------------------------------------

    def _asked(self, request: HttpRequest) -> Asked | None:
        """What the address names: the cause, what is left of it, and the tenant if any. None: no cause. 404: not for you."""
        fingerprint = request.GET.get("of", "")
        if not fingerprint:
            return None
        tenant = _tenant(request)
        with _only(tenant):
            found = counting.piles(fingerprint)
            known = found[0].cause if found else counting.known(fingerprint)
        if known is None:
            raise Http404("There is no such cause.")
        return known, found[0] if found else None, tenant

    def _ask(self, request: HttpRequest, question: Question, back: str) -> TemplateResponse | None:
        page = self.ask(request, None, question)
        if page is not None and page.context_data is not None:
            page.context_data["back"] = back
        return page

    def _shown(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "title": title, "subtitle": None, "opts": self.opts}
        return TemplateResponse(request, template, {**common, "sees_several": sees_several(), **context})


def _lead(found: list[Pile]) -> str:
    if not found:
        return ""
    words = ngettext("%(causes)d cause", "%(causes)d causes", len(found)) % {"causes": len(found)}
    total = sum(pile.count for pile in found)
    return _("%(causes)s, %(count)s failures. The largest comes first.") % {"causes": words, "count": f"{total:,}"}


def _about_replaying(pile: Pile) -> Question:
    return Question(
        title=_("Try all of it again?"),
        lines=[
            causes_words.title(pile.cause),
            _whom(pile),
            _("All get fresh attempts. What the CRM already has is not written twice."),
            _("If the cause is still there they fail again: see to it first, and try one."),
        ],
        button=_("Try all again"),
    )


def _whom(pile: Pile) -> str:
    if not sees_several():
        return _("It concerns %(count)s.") % {"count": counted(pile)}
    tenants = ngettext("%(count)d tenant", "%(count)d tenants", len(pile.shares)) % {"count": len(pile.shares)}
    return _("It concerns %(count)s of %(tenants)s.") % {"count": counted(pile), "tenants": tenants}


def _only(tenant: Tenant | None) -> AbstractContextManager[None]:
    return tenancy.scope(tenant.pk) if tenant else nullcontext()


def _tenant(request: HttpRequest) -> Tenant | None:
    named = request.GET.get("tenant", "")
    if not named:
        return None
    try:
        found: Tenant | None = Tenant.objects.filter(pk=UUID(named)).first()
    except ValueError:
        found = None
    if found is None:
        raise Http404("There is no such tenant.")
    return found


def _batch(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.GET.get("batch", ""))
    except ValueError:
        return None


def _name(request: HttpRequest) -> str:
    return str(request.user)[:200]
