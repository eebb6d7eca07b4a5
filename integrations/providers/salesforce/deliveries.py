"""What a Salesforce organisation pushes: JSON that its own Apex code signs, and outbound messages.

Salesforce signs no webhook by itself. The tenant's Apex does, with the private key of a certificate that the connection's
settings hold (`webhook_certificates`, two while one replaces the other), over the body's very bytes. The body says when it was
signed and which event it is, so that an old one can't be sent again. An organisation without certificates may choose a
shared secret (`webhook_scheme: hmac`); one scheme never stands in for the other. All refusals read alike.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from integrations import errors
from integrations.providers.salesforce import cdc, outbound
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.records.events import Delivery, RemoteEvent, Reply, Trust

SIGNATURE = "x-salesforce-signature"
SECRET_SIGNATURE = "x-dialbridge-signature"  # noqa: S105 - the name of a header
CERTIFICATE, HMAC = "certificate", "hmac"
MAX_AGE = timedelta(minutes=5)
MAX_AHEAD = timedelta(seconds=60)
MIN_KEY_BITS = 2048
MIN_SECRET = 16
MAX_EVENT_ID = 150
REFUSAL = "The signature of this delivery is missing, wrong or too old."


def verify(delivery: Delivery, trust: Trust) -> None:
    """Raises FixData for an outbound message that can't be read: it carries no signature to be wrong."""
    if _is_outbound(delivery):
        _verify_organization(delivery, trust)
        return
    scheme = trust.settings.get("webhook_scheme") or CERTIFICATE
    if scheme == CERTIFICATE:
        _verify_certificate(delivery, trust)
    elif scheme == HMAC:
        _verify_secret(delivery, trust)
    else:
        raise _refused(f"unknown webhook_scheme {scheme}")
    _verify_moment(delivery)


def read(delivery: Delivery) -> list[RemoteEvent]:
    if _is_outbound(delivery):
        return outbound.parse(delivery.body).events
    body = _json(delivery.body)
    if body is None:
        raise errors.FixData("This webhook of Salesforce can't be read: its body is no JSON object.")
    return [cdc.read(body, key=f"webhook:{body.get('eventId')}")]


def reply(delivery: Delivery) -> Reply:
    return Reply(outbound.ACK, outbound.CONTENT_TYPE) if _is_outbound(delivery) else Reply()


def _is_outbound(delivery: Delivery) -> bool:
    return delivery.headers.get("content-type", "").partition(";")[0].strip().lower() == outbound.CONTENT_TYPE


def _verify_organization(delivery: Delivery, trust: Trust) -> None:
    """Who set up signatures does not expect unsigned deliveries beside them, unless the settings say so."""
    signing = trust.settings.get("webhook_certificates") or trust.settings.get("webhook_scheme")
    if not trust.settings.get("outbound_messages", not signing):
        raise _refused("outbound messages are switched off")
    claimed = outbound.parse(delivery.body).organization_id
    if not is_id(trust.account_id) or claimed != to_18(trust.account_id):
        raise _refused("another organisation")


# --- signatures -----------------------------------------------------------------------------------------------------------


def _verify_certificate(delivery: Delivery, trust: Trust) -> None:
    signature = _strict_base64(delivery.headers.get(SIGNATURE, ""))
    for key in _keys(trust.settings.get("webhook_certificates"), delivery.received_at):
        try:
            key.verify(signature, delivery.body, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return
    raise _refused("no certificate fits")


def _keys(certificates: Any, now: datetime) -> Iterator[rsa.RSAPublicKey]:
    """The keys of those certificates that are valid now and strong enough. One that can't be read stops no other."""
    texts = [certificates] if isinstance(certificates, str) else list(certificates or ())
    for text in texts:
        try:
            usable = [
                one for one in _certificates(str(text)) if one.not_valid_before_utc <= now <= one.not_valid_after_utc
            ]
            keys = [one.public_key() for one in usable]
        except (ValueError, TypeError):
            continue
        yield from (key for key in keys if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_KEY_BITS)


@lru_cache(maxsize=1000)
def _certificates(text: str) -> list[x509.Certificate]:
    """Reading them takes longer than checking a signature."""
    return x509.load_pem_x509_certificates(text.encode())


def _verify_secret(delivery: Delivery, trust: Trust) -> None:
    secret = trust.secrets.get("webhook_secret", "")
    if len(secret) < MIN_SECRET:
        raise _refused("no webhook_secret, or a short one")
    signature = _strict_base64(delivery.headers.get(SECRET_SIGNATURE, ""))
    if not hmac.compare_digest(hmac.digest(secret.encode(), delivery.body, "sha256"), signature):
        raise _refused("the secret does not fit")


def _strict_base64(text: str) -> bytes:
    """Only the one spelling that encoding gives: no other alphabet, space, padding or spare bits."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("no base64") from error
    if not found or base64.b64encode(found).decode() != text:
        raise _refused("no base64")
    return found


# --- what is signed -------------------------------------------------------------------------------------------------------


def _verify_moment(delivery: Delivery) -> None:
    body = _json(delivery.body) or {}
    event_id = body.get("eventId")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= MAX_EVENT_ID or not event_id.isprintable():
        raise _refused("no eventId")
    signed_at = _moment(body.get("timestamp"))
    if signed_at is None or not -MAX_AHEAD <= delivery.received_at - signed_at <= MAX_AGE:
        raise _refused("no timestamp, or an old one")


def _moment(value: Any) -> datetime | None:
    """ISO 8601 with an offset, or milliseconds since the epoch."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo is not None else None


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _refused(detail: str) -> errors.BadSignature:
    return errors.BadSignature(REFUSAL, detail=detail)
