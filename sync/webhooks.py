"""The two addresses that CRMs deliver to: one for a whole app, one for each connection.

A delivery is checked before anything is read from it, and stored before it is acknowledged. What is refused leaves no trace but
a line in the log, without content. Statuses are chosen so that a vendor tries again whenever that may help, and never takes one
for "remove this address": a connection that is gone is 404.
"""

import logging
from collections.abc import Sequence
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
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records import Delivery, RemoteEvent, Trust
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
    row = None if token is None else _connection(slug, token)
    if row is None and not provider.app_webhooks:
        raise Refused(404, NOT_HERE)
    delivery = _delivery(request)
    trust = Trust() if row is None else Trust(row.settings, row.secrets or {}, row.account_id, row.webhook_secret)
    events = _verified_events(provider, delivery, trust)
    arrivals = _by_account(slug, events, delivery) if row is None else _for(row, events, delivery)
    try:
        new = inbox.store(arrivals, inbox.WEBHOOK, kept_headers(delivery))
    except RecursionError as error:
        raise Refused(400, UNREADABLE) from error
    log.debug("%s delivered %s events, %s of them new", slug, len(events), new)
    reply = provider.reply(delivery)
    return HttpResponse(reply.body, content_type=reply.content_type)


def _connection(slug: str, token: UUID) -> CrmConnection:
    with tenancy.everyone():
        found = list(CrmConnection.objects.filter(webhook_token=token).only(*OF_CONNECTION).order_by())
    row: CrmConnection | None = found[0] if found else None
    if row is None or row.provider != slug or row.status == CrmConnection.Status.DISCONNECTED:
        raise Refused(404, NOT_HERE)
    return row


# --- reading the request --------------------------------------------------------------------------------------------


def _delivery(request: HttpRequest) -> Delivery:
    query = request.META.get("QUERY_STRING", "")
    return Delivery(
        method=str(request.method),
        # The address that the vendor was given: a proxy may have changed host and scheme, nobody the query's bytes.
        url=f"{settings.PUBLIC_URL}{request.path_info}" + (f"?{query}" if query else ""),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=_body(request),
        received_at=timezone.now(),
    )


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
    body = _whole(events, delivery)
    return [Arrival(row.tenant_id, row.pk, event, body) for event in ours]


def _by_account(slug: str, events: Sequence[RemoteEvent], delivery: Delivery) -> list[Arrival]:
    wanted = {event.account_id for event in events if event.account_id}
    with tenancy.everyone():
        rows: Any = (
            CrmConnection.objects.filter(provider=slug, account_id__in=wanted)
            .exclude(status=CrmConnection.Status.DISCONNECTED)
            .values_list("account_id", "tenant_id", "pk")
        )
        known = {account_id: (tenant_id, pk) for account_id, tenant_id, pk in rows}
    ours = [event for event in events if event.account_id in known]
    _note_strangers(slug, len(events) - len(ours))
    body = _whole(events, delivery)
    return [Arrival(*known[event.account_id], event, body) for event in ours]


def _whole(events: Sequence[RemoteEvent], delivery: Delivery) -> bytes:
    """A single event is shown as it came; of several each by itself, as they may belong to several tenants."""
    return delivery.body if len(events) == 1 else b""


def _note_strangers(slug: str, count: int) -> None:
    if count:
        log.info("%s delivered %s events of accounts that are not connected here", slug, count)
