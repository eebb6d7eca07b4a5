"""Signatures of the messages that we send to addresses of tenants, in the form of Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.utils.dateparse import parse_datetime

PREFIX = "whsec_"
SECRET_BYTES = 32
OLD_SECRET_KEPT = timedelta(hours=24)


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def rotated(stored: str, now: datetime) -> tuple[str, str]:
    """(what to store, the new secret). The secret in use goes on signing beside the new one for a day; older ones end."""
    fresh = new_secret()
    return f"{fresh} {stored.split(maxsplit=1)[0]}@{(now + OLD_SECRET_KEPT).isoformat()}", fresh


def valid_secrets(stored: str, now: datetime) -> list[str]:
    """Those that sign now, the newest first."""
    return [secret for secret, ends_at in _read(stored) if ends_at is None or ends_at > now]


def old_ends_at(stored: str, now: datetime) -> datetime | None:
    """Until when another secret signs beside the newest; None when none does."""
    return max((ends_at for _secret, ends_at in _read(stored) if ends_at and ends_at > now), default=None)


def _read(stored: str) -> list[tuple[str, datetime | None]]:
    """Stored are words, "secret" or "secret@the time it ends"."""
    parts = [word.partition("@") for word in stored.split()]
    return [(secret, parse_datetime(end) if end else None) for secret, _at, end in parts]


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Raises ValueError for a text that is no secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("A webhook's secret is whsec_ and base64.") from error
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers(stored_secrets: str, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    moment = int(now.timestamp())
    signatures = [signature(one, message_id, moment, body) for one in valid_secrets(stored_secrets, now)]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Dialbridge",
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(signatures),
    }
