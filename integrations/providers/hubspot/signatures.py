"""How HubSpot signs a request, in its three versions, and which of them proves a delivery.

Pure: bytes and texts in, a signature out. Version 3 covers method, address, body and time, and ends after five minutes.
Version 1 covers the body alone and is believed only where version 3 does not come along at all. What HubSpot signs is the
address as it was configured, with twelve escapes decoded and no others.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings

from integrations.errors import BadSignature
from integrations.records.events import Delivery, Trust

V3 = "x-hubspot-signature-v3"
TIMESTAMP = "x-hubspot-request-timestamp"
OLDER = "x-hubspot-signature"
OLDER_VERSION = "x-hubspot-signature-version"

DECODED: Mapping[str, str] = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_ESCAPE = re.compile("|".join(DECODED))
OLDEST, NEWEST = 300_000, 60_000
"""Milliseconds that a stamp may lie behind and ahead of our clock."""


def signature_v1(secret: str, body: bytes) -> str:
    return hashlib.sha256(secret.encode() + body).hexdigest()


def signature_v2(secret: str, method: str, url: str, body: bytes) -> str:
    return hashlib.sha256(_bytes(f"{secret}{method.upper()}{url}") + body).hexdigest()


def signature_v3(secret: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    return _hmac(secret, _bytes(method.upper() + decoded(url)) + body + _bytes(timestamp))


def signature_of_body(secret: str, body: bytes) -> str:
    """Nothing that HubSpot sends: a proof without time or address, for senders that were built to it."""
    return _hmac(secret, body)


def _hmac(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def decoded(url: str) -> str:
    return _ESCAPE.sub(lambda found: DECODED[found[0]], url)


def verify(delivery: Delivery, trust: Trust) -> None:
    """Raises BadSignature unless a secret of this address fits.

    `accept_body_signature` in the settings of a connection lets the bare body's proof pass, where no time came along.
    """
    secrets = _secrets(trust)
    if not secrets:
        raise BadSignature("No client secret is known for this address. Set HUBSPOT_CLIENT_SECRET.")
    if not any(_fits(delivery, trust, secret) for secret in secrets):
        raise BadSignature("HubSpot has not signed this delivery, or not for this address.")


def _secrets(trust: Trust) -> list[str]:
    """A connection's own, else those of this installation's app."""
    own = [trust.secrets.get(name, "") for name in ("webhook_secret", "client_secret")]
    return [secret for secret in own if secret] or [secret for secret in (settings.HUBSPOT_CLIENT_SECRET,) if secret]


def _fits(delivery: Delivery, trust: Trust, secret: str) -> bool:
    headers, body = delivery.headers, delivery.body
    if V3 not in headers:
        return _fits_older(delivery, secret)
    if TIMESTAMP in headers:
        check_time(headers[TIMESTAMP], delivery.received_at)
        expected = signature_v3(secret, delivery.method, delivery.url, body, headers[TIMESTAMP])
        return _same(headers[V3], expected)
    if trust.settings.get("accept_body_signature") is True:
        return _same(headers[V3], signature_of_body(secret, body))
    raise BadSignature("The delivery does not say when it was signed.")


def _fits_older(delivery: Delivery, secret: str) -> bool:
    given, kind = delivery.headers.get(OLDER, ""), delivery.headers.get(OLDER_VERSION, "v1")
    if kind == "v1":
        return _same(given, signature_v1(secret, delivery.body))
    if kind == "v2":
        return _same(given, signature_v2(secret, delivery.method, delivery.url, delivery.body))
    return False


def check_time(stamp: str, now: datetime) -> None:
    """Raises BadSignature for a stamp that is no number of milliseconds, too old, or of the future."""
    if not re.fullmatch(r"[0-9]{1,15}", stamp):
        raise BadSignature("The time of the delivery is not readable.")
    age = now.timestamp() * 1000 - int(stamp)
    if not -NEWEST <= age <= OLDEST:
        raise BadSignature("The delivery is more than five minutes old, or not yet due.")


def _same(given: str, expected: str) -> bool:
    # Compared as bytes: a header may hold anything, and only ASCII text can be compared in constant time.
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _bytes(text: str) -> bytes:
    """Of any text that a request can hold, lone surrogates too."""
    return text.encode("utf-8", "replace")
