"""The two addresses that CRMs deliver to: one for a whole app, one for each connection.

A delivery is checked before anything is read from it, and stored before it is acknowledged; those that come at the same moment are
stored together. What is refused leaves no trace but a line in the log, without content. Statuses are chosen so that a vendor tries
again whenever that may help, and never takes one for "remove this address": a connection that is gone is 404.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import db
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt

from integrations import errors, tenancy
from integrations.kept import Kept
from integrations.lining_up import Line
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.events import Delivery, RemoteEvent, Trust
from integrations.registry import PROVIDERS, provider_class
from sync import inbox
from sync.inbox import Arrival

log = logging.getLogger("dialbridge.webhooks")

MAX_BODY = 1024 * 1024
KEPT_HEADERS = ("content-type", "content-length", "user-agent", "date", "traceparent")
KEPT_ENDINGS = ("-timestamp", "-request-id", "-correlation-id", "-version")
LONGEST_HEADER = 200
RETRY_AFTER = "30"
OF_CONNECTION = ("pk", "tenant_id", "provider", "status", "account_id", "settings", "secrets", "webhook_token")

BAD_SIGNATURE = "The signature of this delivery is missing or wrong."
NOT_HERE = "Nothing is delivered to this address."
TOO_LARGE = "This delivery is larger than 1 MiB. Send fewer events at once."
UNREADABLE = "This delivery can't be read."
UNAVAILABLE = "This delivery could not be stored. Send it again later."


class Refused(Exception):
    """The delivery is not taken, with the status and the sentence to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@csrf_exempt
def of_app(request: HttpRequest, slug: str) -> HttpResponse:
    """Deliveries for all accounts of an app; each event names its account."""
    return _answer(request, slug, None)


@csrf_exempt
def of_connection(request: HttpRequest, slug: str, token: UUID) -> HttpResponse:
    """Deliveries for one connection, whose address nobody can guess."""
    return _answer(request, slug, token)


def _answer(request: HttpRequest, slug: str, token: UUID | None) -> HttpResponse:
    answer: HttpResponse
    try:
        if request.method == "POST":
            return _take(request, slug, token)
        answer = HttpResponseNotAllowed(["POST"])
    except Refused as refusal:
        answer = HttpResponse(refusal.message, status=refusal.status, content_type="text/plain; charset=utf-8")
    except db.Error as error:
        log.warning("A delivery could not be stored: %s", type(error).__name__)
        answer = HttpResponse(UNAVAILABLE, status=503, content_type="text/plain; charset=utf-8")
        answer["Retry-After"] = RETRY_AFTER
    # Noted here, so that the framework does not write the address, whose token is a secret, into its own line.
    log_response("A delivery for %s was answered with %s", slug, answer.status_code, response=answer, logger=log)
    return answer


def _take(request: HttpRequest, slug: str, token: UUID | None) -> HttpResponse:
    if slug not in PROVIDERS:
        raise Refused(404, NOT_HERE)
    provider = provider_class(slug)
    if token is None and not provider.app_webhooks:
        raise Refused(404, NOT_HERE)
    with tenancy.everyone():
        delivery, arrivals = _of_app(request, provider) if token is None else _of_one(request, provider, token)
        try:
            _line.do(arrivals)
        except RecursionError as error:
            raise Refused(400, UNREADABLE) from error
    log.debug("%s delivered %s events", slug, len(arrivals))
    reply = provider.reply(delivery)
    return HttpResponse(reply.body, content_type=reply.content_type)


def _store(deliveries: Sequence[Sequence[Arrival]]) -> list[None]:
    inbox.store([arrival for arrivals in deliveries for arrival in arrivals], inbox.WEBHOOK)
    return [None] * len(deliveries)


_line: Line[Sequence[Arrival], None] = Line(_store)


# --- whose delivery it is -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Receiver:
    """A connection that deliveries come for."""

    row: CrmConnection
    trust: Trust


def _receivers_by_token(tokens: Sequence[UUID]) -> dict[UUID, _Receiver]:
    rows = CrmConnection.objects.filter(webhook_token__in=tokens).only(*OF_CONNECTION).order_by()
    return {
        row.webhook_token: _Receiver(row, Trust(row.settings, row.secrets or {}, row.account_id, row.webhook_secret))
        for row in rows.exclude(status=CrmConnection.Status.DISCONNECTED)
    }


def _owners_by_account(accounts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[UUID, UUID]]:
    """Provider and account → tenant and connection."""
    wanted = {account_id for _slug, account_id in accounts}
    rows = CrmConnection.objects.filter(provider__in={slug for slug, _id in accounts}, account_id__in=wanted)
    found: Any = rows.exclude(status=CrmConnection.Status.DISCONNECTED)
    return {
        (slug, account_id): (tenant_id, pk)
        for slug, account_id, tenant_id, pk in found.values_list("provider", "account_id", "tenant_id", "pk")
    }


_receivers: Kept[UUID, _Receiver] = Kept(_receivers_by_token)
_owners: Kept[tuple[str, str], tuple[UUID, UUID]] = Kept(_owners_by_account)


def _of_one(request: HttpRequest, provider: type[CrmProvider], token: UUID) -> tuple[Delivery, list[Arrival]]:
    """A secret that was changed a moment ago is asked for once more before a signature is called wrong."""
    receiver = _receivers.get(token)
    if receiver is None or receiver.row.provider != provider.slug:
        raise Refused(404, NOT_HERE)
    delivery = _delivery(request)
    try:
        events = _verified_events(provider, delivery, receiver.trust)
    except Refused as refusal:
        again = _receivers.fresh(token) if refusal.status == 401 else receiver
        if again is None or again.trust == receiver.trust:
            raise
        receiver, events = again, _verified_events(provider, delivery, again.trust)
    return delivery, _for(receiver.row, events, delivery)


def _of_app(request: HttpRequest, provider: type[CrmProvider]) -> tuple[Delivery, list[Arrival]]:
    delivery = _delivery(request)
    return delivery, _by_account(provider.slug, _verified_events(provider, delivery, Trust()), delivery)


# --- reading the request --------------------------------------------------------------------------------------------


def _delivery(request: HttpRequest) -> Delivery:
    query = request.META.get("QUERY_STRING", "")
    return Delivery(
        method=str(request.method),
        # The address that the vendor was given: a proxy may have changed host and scheme, nobody the query's bytes.
        url=f"{settings.PUBLIC_URL}{request.path_info}" + (f"?{query}" if query else ""),
        headers=_headers(request.META),
        body=_body(request),
        received_at=timezone.now(),
    )


def _headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """As `request.headers` has them, with small letters."""
    found = {name[5:].replace("_", "-").lower(): value for name, value in meta.items() if name.startswith("HTTP_")}
    given = {"content-type": meta.get("CONTENT_TYPE"), "content-length": meta.get("CONTENT_LENGTH")}
    return {**found, **{name: value for name, value in given.items() if value is not None}}


def _body(request: HttpRequest) -> bytes:
    """At most the allowed size is read, whatever the request says of its length."""
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise Refused(413, TOO_LARGE)
    # Without a length Django reads nothing; a server that knows where a chunked body ends says so.
    whole = not announced and request.META.get("wsgi.input_terminated")
    stream: Any = request.META["wsgi.input"] if whole else request
    try:
        body: bytes = stream.read(MAX_BODY + 1)
    except (OSError, ValueError, UnreadablePostError) as error:
        raise Refused(400, UNREADABLE) from error
    if len(body) > MAX_BODY:
        raise Refused(413, TOO_LARGE)
    return body


def kept_headers(delivery: Delivery) -> dict[str, str]:
    """What may be stored: nothing that signs or identifies."""
    return {
        name: value[:LONGEST_HEADER].replace("\x00", "")
        for name, value in delivery.headers.items()
        if name in KEPT_HEADERS or name.endswith(KEPT_ENDINGS)
    }


# --- checking and routing -------------------------------------------------------------------------------------------


def _verified_events(provider: type[CrmProvider], delivery: Delivery, trust: Trust) -> list[RemoteEvent]:
    try:
        provider.verify(delivery, trust)
    except errors.Unsupported as error:
        raise Refused(404, NOT_HERE) from error
    except (errors.CrmError, ValueError, TypeError) as error:
        if not isinstance(error, errors.BadSignature):
            log.warning("A delivery of %s could not be checked: %s", provider.label, error)
        raise Refused(401, BAD_SIGNATURE) from error
    try:
        return provider.read_delivery(delivery, trust)
    except errors.CrmError as error:
        raise Refused(400, UNREADABLE) from error
    except Exception as error:
        # Whatever a vendor, or somebody with a vendor's key, may send: it is a bad request and not a broken server.
        log.warning("A delivery of %s could not be read", provider.label, exc_info=error)
        raise Refused(400, UNREADABLE) from error


def _for(row: CrmConnection, events: Sequence[RemoteEvent], delivery: Delivery) -> list[Arrival]:
    """The events of this connection; one that names another account has come to the wrong address."""
    ours = [
        event for event in events if not (event.account_id and row.account_id) or event.account_id == row.account_id
    ]
    _note_strangers(row.provider, len(events) - len(ours))
    body, headers = _whole(events, delivery), kept_headers(delivery)
    return [Arrival(row.tenant_id, row.pk, event, body, headers) for event in ours]


def _by_account(slug: str, events: Sequence[RemoteEvent], delivery: Delivery) -> list[Arrival]:
    known = _owners.get_all({(slug, event.account_id) for event in events if event.account_id})
    ours = [event for event in events if (slug, event.account_id) in known]
    _note_strangers(slug, len(events) - len(ours))
    body, headers = _whole(events, delivery), kept_headers(delivery)
    return [Arrival(*known[slug, event.account_id], event, body, headers) for event in ours]


def _whole(events: Sequence[RemoteEvent], delivery: Delivery) -> bytes:
    """A single event is shown as it came; of several each by itself, as they may belong to several tenants."""
    return delivery.body if len(events) == 1 else b""


def _note_strangers(slug: str, count: int) -> None:
    if count:
        log.info("%s delivered %s events of accounts that are not connected here", slug, count)
