"""Texts and times as HubSpot takes them."""

import html
import re
from datetime import UTC, datetime

BODY_ROOM = 65_000
"""A property holds 65,536 characters; the rest is for the mark."""
LINE_ROOM = 1_000


def rich_text(text: str) -> str:
    """HubSpot renders HTML and collapses plain line ends. Cut to fit, never inside an escape or a tag."""
    escaped = html.escape(text.strip(), quote=False).replace("\r\n", "\n").replace("\n", "<br>")
    if len(escaped) <= BODY_ROOM:
        return escaped
    return re.sub(r"(&\w*|<\w*)$", "", escaped[:BODY_ROOM]) + "…"


def line(text: str) -> str:
    """A title or a place: one line, shown as it is."""
    plain = " ".join(text.split())
    return plain if len(plain) <= LINE_ROOM else plain[: LINE_ROOM - 1] + "…"


def moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
