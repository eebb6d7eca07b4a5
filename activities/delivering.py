"""Sends the messages to the dialer: one sender for an address at a time, each message until it is taken or given up.

Claiming counts the try and takes the message away from everybody else for a minute, so a sender that dies costs a minute and no
message; the receiver may then get one twice, under the same id. An address in trouble gets one try a minute and so holds up nobody
else's; whoever says 410, or fails for days, is switched off.
"""

import json
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from activities.dialer_webhooks import TASK, TEST, made
from activities.models import DialerEndpoint, DialerMessage
from integrations import outside, tenancy
from integrations.signing import headers

log = logging.getLogger("dialbridge.dialer")

SCHEDULES: dict[str, dict[str, Any]] = {
    "Tell the dialer what waits": {"func": "activities.delivering.sweep", "schedule_type": "I", "minutes": 1},
    "Forget what the dialer was told": {"func": "activities.delivering.tidy", "schedule_type": "D"},
}
WAITS = (5, 30, 120, 600, 1800, 3600, 2 * 3600, 5 * 3600, 10 * 3600)
"""Seconds after each failed try but the last."""
LEASE_SECONDS = 60
SLICE_SECONDS = 20.0
MOST_IN_A_ROW = 3
"""Refusals in a row, after which an address is left alone for a while. After silence it is at once."""
GIVEN_UP_AFTER = timedelta(days=5)
KEPT = timedelta(days=30)
GONE = 410
SWITCHED_OFF = "The address is switched off. Switch it on again and send the message again."
State = DialerMessage.State


# --- clock work -------------------------------------------------------------------------------------------------------


def sweep() -> None:
    """Finds addresses with messages that are due: lost wake-ups, dead senders, and what waited for its time."""
    with tenancy.everyone():
        due = DialerMessage.objects.filter(endpoint=OuterRef("pk"), state=State.READY, not_before__lte=Now())
        found = DialerEndpoint.objects.filter(Exists(due), is_active=True, tenant__is_active=True)
        for endpoint_id in list(found.values_list("pk", flat=True)):
            async_task(TASK, str(endpoint_id), probe=True)


def tidy() -> None:
    with tenancy.everyone():
        DialerMessage.objects.filter(finished_at__lt=timezone.now() - KEPT).delete()


# --- sending ----------------------------------------------------------------------------------------------------------


def deliver(endpoint_id: str, probe: bool = False) -> None:
    """Sends what is due for about `SLICE_SECONDS`. An address in trouble is tried by a probe only."""
    with tenancy.everyone():
        endpoint = DialerEndpoint.objects.filter(pk=endpoint_id, is_active=True, tenant__is_active=True).first()
    if endpoint is None or (endpoint.failing_since and not probe):
        return
    with tenancy.scope(endpoint.tenant_id):
        if not _send_due(endpoint):
            async_task(TASK, endpoint_id)


def _send_due(endpoint: DialerEndpoint) -> bool:
    """Returns whether the address can be left: nothing more is due, or it is in trouble."""
    started, refusals = time.monotonic(), 0
    while time.monotonic() - started < SLICE_SECONDS:
        message = _claim(endpoint)
        if message is None:
            return True
        if not _send(endpoint, message):
            refusals += 1 if message.status else MOST_IN_A_ROW
            if refusals >= MOST_IN_A_ROW or not endpoint.is_active:
                return True
        else:
            refusals = 0
    return False


_CLAIM = """
UPDATE dialer_messages SET
    attempts = attempts + 1, status = NULL, error = '',
    not_before = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE id = (
    SELECT id FROM dialer_messages waiting
    WHERE endpoint_id = %(endpoint)s AND state = 'ready' AND not_before <= clock_timestamp()
      AND EXISTS (SELECT 1 FROM dialer_endpoints WHERE id = %(endpoint)s AND is_active)
      AND NOT EXISTS (
        SELECT 1 FROM dialer_messages busy
        WHERE busy.endpoint_id = %(endpoint)s AND busy.state = 'ready' AND busy.attempts > 0 AND busy.error = ''
          AND busy.not_before > clock_timestamp()
      )
    ORDER BY not_before, created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id
"""
"""A message without a problem whose time is yet to come, though it was tried, is being sent by somebody at this moment."""


def _claim(endpoint: DialerEndpoint) -> DialerMessage | None:
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute(_CLAIM, {"endpoint": endpoint.pk, "lease": LEASE_SECONDS})
        row = cursor.fetchone()
    return DialerMessage.objects.filter(pk=row[0]).first() if row else None


def _send(endpoint: DialerEndpoint, message: DialerMessage) -> bool:
    """Makes one try and writes down what came of it. Returns whether the message was taken."""
    _try(endpoint, message)
    with transaction.atomic():
        if message.error:
            _failed(endpoint, message)
        else:
            _taken(endpoint, message)
    return not message.error


def _try(endpoint: DialerEndpoint, message: DialerMessage) -> None:
    body = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":")).encode()
    message.status, message.error = None, ""
    try:
        signed = headers(endpoint.secret, f"msg_{message.pk.hex}", timezone.now(), body)
        answer = outside.post(endpoint.url, body, signed)
    except (outside.AddressRefused, outside.NoAnswer) as error:
        message.error = str(error)
    else:
        message.status, message.error = answer.status, _problem(answer)


def _problem(answer: outside.Answer) -> str:
    if 200 <= answer.status < 300:
        return ""
    if 300 <= answer.status < 400:
        return f"The answer was {answer.status}, a redirect, which is not followed. Enter the address it leads to."
    return f"The answer was {answer.status}. {answer.text[:300]}".strip()


def _taken(endpoint: DialerEndpoint, message: DialerMessage) -> None:
    message.state, message.finished_at = State.SENT, timezone.now()
    _write(message)
    if endpoint.failing_since:
        endpoint.failing_since = None
        DialerEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)


def _failed(endpoint: DialerEndpoint, message: DialerMessage) -> None:
    now = timezone.now()
    if message.attempts > len(WAITS) or message.status == GONE:
        message.state, message.finished_at = State.DEAD, now
    else:
        message.not_before = now + timedelta(seconds=WAITS[message.attempts - 1])
    _write(message)
    if endpoint.failing_since is None:
        endpoint.failing_since = now
        DialerEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=now)
    if message.status == GONE or now - endpoint.failing_since > GIVEN_UP_AFTER:
        switch_off(endpoint)


def _write(message: DialerMessage) -> None:
    """Unless the message was claimed by somebody else meanwhile, or is no longer there."""
    held = DialerMessage.objects.filter(pk=message.pk, attempts=message.attempts, state=State.READY)
    held.update(
        state=message.state,
        not_before=message.not_before,
        status=message.status,
        error=message.error,
        finished_at=message.finished_at,
    )


# --- what people do ---------------------------------------------------------------------------------------------------


def switch_off(endpoint: DialerEndpoint) -> None:
    """Nothing is sent there any more; what waited is given up, and can be sent again later."""
    log.warning("The webhook to the dialer %s is switched off", endpoint.pk)
    endpoint.is_active = False
    DialerEndpoint.objects.filter(pk=endpoint.pk).update(is_active=False)
    waiting = DialerMessage.objects.filter(endpoint=endpoint.pk, state=State.READY)
    waiting.update(state=State.DEAD, error=SWITCHED_OFF, finished_at=Now())


def switch_on(endpoint: DialerEndpoint) -> None:
    endpoint.is_active, endpoint.failing_since = True, None
    DialerEndpoint.objects.filter(pk=endpoint.pk).update(is_active=True, failing_since=None)


def replay(messages: "QuerySet[DialerMessage]") -> int:
    """Sends given up messages again, under the same ids, to addresses that are switched on. Returns how many."""
    chosen = messages.filter(state=State.DEAD, endpoint__is_active=True).exclude(event=TEST)
    found: dict[UUID, UUID] = dict(chosen.values_list("pk", "endpoint_id"))
    done: int = DialerMessage.objects.filter(pk__in=found, state=State.DEAD).update(
        state=State.READY, attempts=0, not_before=Now(), status=None, error="", finished_at=None
    )
    for endpoint_id in set(found.values()):
        transaction.on_commit(partial(async_task, TASK, str(endpoint_id), probe=True))
    return done


def send_test(endpoint: DialerEndpoint) -> DialerMessage:
    """Sends a message at once, also to an address that is switched off, and tries no second time."""
    message = made(endpoint, TEST, None, {"id": str(endpoint.pk)})
    message.state, message.attempts, message.finished_at = State.DEAD, 1, timezone.now()
    message.error = "The test was broken off."
    message.save()
    _try(endpoint, message)
    message.state = State.DEAD if message.error else State.SENT
    message.save()
    return message
