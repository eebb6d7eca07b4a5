"""The address of a recording that stands in the CRMs.

A CRM keeps the address for years; each time somebody opens it, they are checked, the recording's address is signed afresh, and the
play is noted. Whoever may not hear it gets a page that says why and what to do; programs that ask for JSON get the same as a
problem. Whether a call exists is told to nobody but those who may see it.
"""

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from activities import recordings, storage
from activities.models import Call
from activities.recordings import Outcome, Shown, Way
from integrations import tenancy

log = logging.getLogger("dialbridge.recordings")

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What somebody reads who doesn't get the recording."""

    status: int
    title: Any
    text: Any
    log_in: bool = False
    """Whether logging in may help."""


NOT_THERE = Page(
    404,
    gettext_lazy("There is no such call"),
    gettext_lazy("The link may be incomplete, or the call belongs to an account that your log-in doesn't cover."),
    log_in=True,
)
PAGES: Mapping[Outcome, Page] = {
    Outcome.NOT_SIGNED_IN: Page(
        401,
        gettext_lazy("Log in to hear this recording"),
        gettext_lazy("Recordings are only played to members of the account that the call belongs to."),
        log_in=True,
    ),
    Outcome.MISSING: NOT_THERE,
    Outcome.OTHER_TENANT: NOT_THERE,
    Outcome.FORGED: Page(
        403,
        gettext_lazy("This link is not valid"),
        gettext_lazy(
            "It was changed on the way, cut off, or made for another call. Ask whoever sent it for a new one, "
            "or log in."
        ),
        log_in=True,
    ),
    Outcome.EXPIRED: Page(
        403,
        gettext_lazy("This link has expired"),
        gettext_lazy("Links to recordings work for a short time only. Open the call again to get a new one, or log in."),
        log_in=True,
    ),
    Outcome.REVOKED: Page(
        403,
        gettext_lazy("This link was withdrawn"),
        gettext_lazy("The API key that it was made with is no longer in use. Open the call again to get a new one, or log in."),
        log_in=True,
    ),
    Outcome.NOTHING: Page(
        404,
        gettext_lazy("This call has no recording"),
        gettext_lazy("None was made, or the dialer has not sent it yet. Recordings often arrive some minutes after the call."),
    ),
    Outcome.FORGOTTEN: Page(
        410,
        gettext_lazy("This recording is no longer kept"),
        gettext_lazy(
            "It was forgotten here, because of its age or because the person asked for it. It can't be brought "
            "back from here."
        ),
    ),
    Outcome.STORAGE: Page(
        503,
        gettext_lazy("The recording can't be reached at the moment"),
        gettext_lazy(
            "Nothing is wrong with your link. Try again in a minute; if it stays so, tell an administrator of "
            "the account."
        ),
    ),
}  # fmt: skip


class AnyFormat(BaseContentNegotiation):
    """Players ask for audio, browsers for pages: what they get decides the view."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def _query(name: str, text: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.QUERY, description=text)


def _refusals() -> dict[Any, Any]:
    pages: dict[int, list[str]] = {}
    for page in PAGES.values():
        titles = pages.setdefault(page.status, [])
        if str(page.title) not in titles:
            titles.append(str(page.title))
    return {
        (status, "application/problem+json"): OpenApiResponse(OpenApiTypes.OBJECT, description="; ".join(titles))
        for status, titles in pages.items()
    }


class PlayView(APIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [AllowAny]
    throttle_classes = []
    content_negotiation_class = AnyFormat
    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="play_recording",
        summary="Play a call's recording",
        description="The address that stands in the CRMs. Opens for signed-in members of the call's tenant, "
        "with a token for this call, "
        "or with a signed link; then it leads to a freshly signed address. Refusals are pages for browsers, and "
        "problem details "
        "for whoever asks for JSON. A call of another tenant looks like none.",
        parameters=[
            _query("token", "From recording-token."),
            _query("expires", "End of a signed link, in seconds since 1970."),
            _query("signature", "Of a signed link."),
        ],
        responses={302: OpenApiResponse(description="To the recording, for a short time."), **_refusals()},
    )
    def get(self, request: Request, call_id: UUID) -> HttpResponse:
        request.user = request.user or AnonymousUser()  # the REST framework knows no nobody, the pages need one
        return _play(request._request, call_id)  # noqa: SLF001 - pages need Django's own request


def missing(request: HttpRequest, **_kwargs: Any) -> HttpResponse:
    """Addresses that look like a recording's, but name no call."""
    return _refuse(request, Outcome.MISSING)


# --- deciding -------------------------------------------------------------------------------------------------------


def _play(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """Membership first: it opens the recording also behind a link that has expired."""
    signed_in = request.user.is_authenticated and tenancy.current_scope() is not None
    own = _find(call_id) if signed_in else None
    if own is not None:
        return _give(request, own, Shown(Way.MEMBER, who=request.user.get_username()))
    shown = _shown(request, call_id)
    with tenancy.everyone():
        call = _find(call_id)
        problem = _problem(call, shown, signed_in=signed_in)
        if call is not None and shown is not None and problem is None:
            return _give(request, call, shown)
        if call is not None and problem is not None:
            recordings.note(call, problem, way=shown.way if shown else Way.NOBODY, address=_address(request))
    return _refuse(request, problem or Outcome.MISSING, call_id)


def _find(call_id: UUID) -> Call | None:
    found: Call | None = Call.objects.filter(pk=call_id, tenant__is_active=True).first()
    return found


def _problem(call: Call | None, shown: Shown | None, *, signed_in: bool) -> Outcome | None:
    """Why somebody who is no member may not hear it. A forged link is told nothing of whether there is such a call."""
    if shown is None:
        return Outcome.OTHER_TENANT if signed_in else Outcome.NOT_SIGNED_IN
    if shown.problem or call is None:
        return shown.problem or Outcome.MISSING
    return Outcome.REVOKED if recordings.is_revoked(call, shown) else None


def _shown(request: HttpRequest, call_id: UUID) -> Shown | None:
    """What the address itself brings along."""
    query = request.GET
    if "token" in query:
        return recordings.shown_token(call_id, query["token"])
    if "signature" in query or "expires" in query:
        return recordings.shown_link(call_id, query.get("expires", ""), query.get("signature", ""))
    return None


def _give(request: HttpRequest, call: Call, shown: Shown) -> HttpResponse:
    """To the recording, or why there is none. For somebody who may hear it."""
    address, outcome, why = "", Outcome.PLAYED, ""
    if not call.recording_url:
        outcome = Outcome.FORGOTTEN if call.recording_purged_at else Outcome.NOTHING
    else:
        try:
            address = storage.playable(storage.storage_of(call.tenant_id), call.recording_url, call.pk)
        except storage.StorageProblem as error:
            outcome, why = Outcome.STORAGE, str(error)
            log.warning("The recording of call %s can't be reached: %s", call.pk, error)
    recordings.note(call, outcome, way=shown.way, who=shown.who, address=_address(request))
    if outcome != Outcome.PLAYED:
        return _refuse(request, outcome, call.pk, call=call if shown.way == Way.MEMBER else None, why=why)
    return HttpResponseRedirect(address, headers=HEADERS)


def _address(request: HttpRequest) -> str | None:
    """Where the request came from; behind a proxy, what our own proxy says."""
    told = request.META.get("REMOTE_ADDR", "")
    if settings.SECURE_PROXY_SSL_HEADER:
        told = request.headers.get("X-Forwarded-For", told).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told.partition("%")[0]))
    except ValueError:
        return None


# --- saying no ------------------------------------------------------------------------------------------------------


def _refuse(
    request: HttpRequest, outcome: Outcome, call_id: UUID | None = None, *, call: Call | None = None, why: str = ""
) -> HttpResponse:
    """The page for this outcome. `call` and `why` only for members, who are shown the way on."""
    page = PAGES[outcome]
    if _wants_json(request):
        answer: HttpResponse = JsonResponse(
            {"type": "about:blank", "title": str(page.title), "status": page.status, "detail": str(page.text)},
            status=page.status,
            content_type="application/problem+json",
        )
    else:
        links = _ways_on(request, page, call_id, call)
        context = {"page": page, "links": links, "why": why if call else ""}
        answer = render(request, "recordings/refused.html", context, status=page.status)
    for name, value in HEADERS.items():
        answer[name] = value
    if page.status == 401:
        answer["WWW-Authenticate"] = 'Session realm="Dialbridge"'
    return answer


def _wants_json(request: HttpRequest) -> bool:
    wanted = request.get_preferred_type(["text/html", "application/problem+json", "application/json"])
    return wanted not in {None, "text/html"}


def _ways_on(request: HttpRequest, page: Page, call_id: UUID | None, call: Call | None) -> list[tuple[str, str]]:
    """Address and words of each link, the most useful first."""
    if call is not None:
        ways = [(reverse("admin:activities_call_change", args=[call.pk]), _("To the call"))]
        if page.status == 503:
            ways.insert(
                0,
                (f"{reverse('admin:activities_callsettings_own')}?tenant={call.tenant_id}", _("To the call settings")),
            )
        return ways
    if page.log_in and call_id is not None and not request.user.is_authenticated:
        back = urlencode({"next": reverse("play_recording", args=[call_id])})
        return [(f"{reverse('admin:login')}?{back}", _("Log in"))]
    return [(reverse("admin:index"), _("To the first page"))] if admin.site.has_permission(request) else []
