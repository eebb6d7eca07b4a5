"""The dialer's own id of a call, and the header that may stand for it."""

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ValidationError

HEADER = "HTTP_IDEMPOTENCY_KEY"
LONGEST_KEY = 200


def key_in(meta: Mapping[str, Any]) -> str:
    """The request's Idempotency-Key, or nothing. Raises ValidationError."""
    key: str = meta.get(HEADER, "").strip()
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise ValidationError({"Idempotency-Key": f"At most {LONGEST_KEY} printable characters."})
    return key


def with_id(body: Any, key: str) -> Any:
    """The body of a call with the dialer's id, wherever it was sent. Raises ValidationError."""
    if not isinstance(body, Mapping):
        return body
    given = body.get("external_id")
    if given in (None, ""):
        if not key:
            raise ValidationError({"external_id": "Send the dialer's id of the call, here or as Idempotency-Key."})
        return {**body, "external_id": key}
    if key and str(given).strip() != key:
        raise ValidationError(
            {"external_id": "It differs from the Idempotency-Key header. Send one of them, or the same."}
        )
    return body
