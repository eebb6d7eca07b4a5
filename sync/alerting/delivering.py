"""Sends the notices of alerts by e-mail and by signed webhook, each until it is taken or given up after a day.

Claiming counts the try and takes the notice away from everybody else for a minute, so a sender that dies costs a minute and no
notice. That something is over is sent to an address only after the news that it began, or after that was given up.
"""

import json
import logging
import smtplib
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from integrations import outside, signing, tenancy
from integrations.fields import WrongKey
from sync.alerting import words
from sync.alerting.words import Letter
from sync.models import AlertDelivery, AlertSettings

log = logging.getLogger("dialbridge.alerts")
WAITS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
"""Seconds after each failed try but the last: almost a day."""
LEASE_SECONDS = 60
SLICE_SECONDS = 20.0
NO_MAIL = "E-mail is not set up on this site. Its operator sets EMAIL_URL."
CHANGED = "The address was changed in the alert settings meanwhile."
State, Channel = AlertDelivery.State, AlertDelivery.Channel

_CLAIM = """
UPDATE alert_deliveries SET
    attempts = attempts + 1, status = NULL, error = '',
    not_before = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE id = (
    SELECT id FROM alert_deliveries waiting
    WHERE state = 'ready' AND not_before <= clock_timestamp() AND NOT EXISTS (
        SELECT 1 FROM alert_deliveries first
        WHERE first.alert_id = waiting.alert_id AND first.channel = waiting.channel AND first.target = waiting.target
            AND first.state = 'ready' AND first.id <> waiting.id
            AND (first.episode < waiting.episode OR (first.episode = waiting.episode AND first.event < waiting.event))
    )
    ORDER BY not_before
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id
"""
"""Of one episode "opened" goes before "resolved", as their names happen to sort."""


class NotTaken(Exception):
    """The address did not take the notice; the message says why. `for_good`: it never will."""

    def __init__(self, message: str, status: int | None = None, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.status, self.for_good = status, for_good


def deliver(seconds: float = SLICE_SECONDS) -> int:
    """Sends what is due for about `seconds`. Returns how many were taken."""
    started, taken = time.monotonic(), 0
    with tenancy.everyone():
        while time.monotonic() - started < seconds:
            delivery = _claim()
            if delivery is None:
                break
            taken += _send(delivery)
    return taken


def _claim() -> AlertDelivery | None:
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute(_CLAIM, {"lease": LEASE_SECONDS})
        row = cursor.fetchone()
    if row is None:
        return None
    rows = AlertDelivery.objects.select_related("alert__tenant", "alert__connection__tenant", "tenant")
    hidden = [f"alert__connection__{name}" for name in ("access_token", "refresh_token", "secrets")]
    return rows.defer(*hidden).get(pk=row[0])  # type: ignore[no-any-return]


def _send(delivery: AlertDelivery) -> bool:
    try:
        delivery.status = _tried(delivery)
    except NotTaken as error:
        delivery.status, delivery.error = error.status, str(error)
        if error.for_good or delivery.attempts > len(WAITS):
            delivery.state, delivery.finished_at = State.DEAD, timezone.now()
        else:
            delivery.not_before = timezone.now() + timedelta(seconds=WAITS[delivery.attempts - 1])
    else:
        delivery.state, delivery.finished_at = State.SENT, timezone.now()
    held = AlertDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, state=State.READY)
    held.update(
        state=delivery.state,
        status=delivery.status,
        error=delivery.error,
        not_before=delivery.not_before,
        finished_at=delivery.finished_at,
    )
    return delivery.state == State.SENT


def _tried(delivery: AlertDelivery) -> int | None:
    try:
        return SENDERS[delivery.channel](delivery)
    except NotTaken:
        raise
    except Exception as error:  # a fault in our own code must hold up no other notice
        log.exception("The notice %s could not be made", delivery.pk)
        raise NotTaken("Something in Dialbridge itself failed. The log tells support more.") from error


# --- e-mail -----------------------------------------------------------------------------------------------------------


def _mail(delivery: AlertDelivery) -> None:
    letter = words.letter(delivery.alert, delivery.event)
    thread = f"alert-{delivery.alert_id}-{delivery.episode}"
    send_mail(delivery.target, letter, message_id=f"{thread}-{delivery.event}", about=thread)


def send_mail(target: str, letter: Letter, *, message_id: str, about: str = "") -> None:
    """Raises NotTaken. The ids are ours, so that a mail program shows begin and end together, and a double as one."""
    if not settings.EMAIL_IS_SET_UP:
        raise NotTaken(NO_MAIL)
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "localhost"
    headers = {"Message-ID": f"<{message_id}@{host}>", "Auto-Submitted": "auto-generated"}
    if about:
        headers["References"] = f"<{about}@{host}>"
    subject = " ".join(letter.subject.split())
    try:
        EmailMessage(subject, letter.text, settings.DEFAULT_FROM_EMAIL, [target], headers=headers).send()
    except smtplib.SMTPRecipientsRefused as error:
        raise NotTaken("The mail server refuses this address.", for_good=_refused_for_good(error)) from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotTaken(f"The mail server did not take it ({type(error).__name__}).") from error


def _refused_for_good(error: smtplib.SMTPRecipientsRefused) -> bool:
    return all(code >= 500 for code, _answer in error.recipients.values())


# --- webhook ----------------------------------------------------------------------------------------------------------


def _webhook(delivery: AlertDelivery) -> int:
    own = AlertSettings.objects.filter(tenant=delivery.tenant_id).first()
    if own is None or own.webhook_url != delivery.target:
        raise NotTaken(CHANGED, for_good=True)
    return post(own, words.message(delivery.alert, delivery.event), f"msg_{delivery.pk.hex}")


def post(own: AlertSettings, message: dict[str, object], message_id: str) -> int:
    """Returns the answer's status. Raises NotTaken."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    try:
        signed = signing.headers(own.webhook_secret or "", message_id, timezone.now(), body)
        answer = outside.post(own.webhook_url, body, signed)
    except WrongKey as error:
        raise NotTaken("The webhook's secret can't be read any more. Change the secret.") from error
    except (outside.AddressRefused, outside.NoAnswer) as error:
        raise NotTaken(str(error)) from error
    if not 200 <= answer.status < 300:
        raise NotTaken(f"The answer was {answer.status}. {answer.text[:300]}".strip(), answer.status)
    return answer.status


SENDERS: Mapping[str, Callable[[AlertDelivery], int | None]] = {
    Channel.MAIL.value: _mail,
    Channel.WEBHOOK.value: _webhook,
}
