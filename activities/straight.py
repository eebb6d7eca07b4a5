"""A posted call on the straight way: what a dialer sends thousands of times an hour is answered without the framework's machinery.

Only a call that is as it should be is answered here, and just as the usual way would answer it. Whatever is unusual about a request
(no good key, too many, another format, a fault in a field) is left to the usual way, which begins anew and knows all the words.
Nothing of such a request was stored by then, and it was not counted.
"""

import io
import json
import logging
from typing import Any

from django import db
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import ParseError, ValidationError

from activities import joint_posting, plain_calls
from activities.idempotency import key_in, with_id
from activities.posting import Posted
from integrations import tenancy, tracing
from integrations.authentication import PerKeyThrottle, key_of
from integrations.keys import note_use
from integrations.models import ApiKey, Tenant
from integrations.views import TenantView

log = logging.getLogger("dialbridge.calls")

JSON_TYPES = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
ACCEPTED = frozenset({"", "*/*", "application/json", "application/json, */*", "application/json, text/plain, */*"})


def store(view: type[TenantView], request: HttpRequest) -> Posted | None:
    """What became of the call of this request; None when the usual way has to look at the request."""
    try:
        return _stored(view, request) if _is_plain(request) else None
    except db.Error:
        return None  # it may be stored or not: posted again it is answered the same


def _stored(view: type[TenantView], request: HttpRequest) -> Posted | None:
    key: Any = key_of(request.META.get("HTTP_AUTHORIZATION", ""))
    if key is None:
        return None
    call = _read(view, request, key.tenant)
    if call is None or not _counted(request, key):
        return None
    tracing.note(tenant=str(key.tenant_id))
    with tenancy.scope(key.tenant_id):
        posted = joint_posting.store(key.tenant, call)
        tracing.note(tenant=str(key.tenant_id))
        note(posted)
        return posted


def note(posted: Posted) -> None:
    if not posted.errors:
        log.info("Call stored: %s", posted.id, extra={"call": str(posted.id)})


def answer(view: TenantView, posted: Posted) -> HttpResponse:
    """As the framework would write it."""
    told = {"id": str(posted.id), "external_id": posted.external_id}
    body = (
        json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
    headers = {"Content-Type": "application/json", "Allow": ", ".join(view.allowed_methods)}
    return HttpResponse(body.encode(), status=posted.status, headers=headers)


def _is_plain(request: HttpRequest) -> bool:
    meta = request.META
    length = meta.get("CONTENT_LENGTH") or ""
    return bool(
        request.method == "POST"
        and meta.get("CONTENT_TYPE", "").lower() in JSON_TYPES
        and meta.get("HTTP_ACCEPT", "") in ACCEPTED
        and not meta.get("QUERY_STRING")
        and length.isdigit()
        and int(length) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    )


def _read(view: type[TenantView], request: HttpRequest, tenant: Tenant) -> dict[str, Any] | None:
    try:
        body = view.parser_classes[0]().parse(io.BytesIO(request.body))
        return plain_calls.check(with_id(body, key_in(request.META)), tenant.region)
    except (ParseError, ValidationError, RecursionError):
        return None


def _counted(request: HttpRequest, key: ApiKey) -> bool:
    """Last of all, so that what the usual way looks at once more is not counted twice."""
    if not PerKeyThrottle().allows(key.prefix):
        return False
    match = request.resolver_match
    note_use(key, f"POST /{match.route}" if match else "POST")
    return True
