"""Where requests may go: the vendor's own hosts over https, and the hosts that the operator allowed by name."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings

from integrations.errors import Standstill


def check_url(url: str, hosts: Sequence[str], label: str) -> None:
    """Raises Standstill for any address that a credential must not be sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as brackets around what is no address
        parts = urlsplit("")
    host = (parts.hostname or "").lower().rstrip(".")
    # A browser and some libraries read a backslash as a slash, and the host as what stands before it.
    plain = not parts.username and not parts.password and host and re.fullmatch(r"[a-z0-9.:-]+", host)
    if (
        plain
        and parts.scheme in {"http", "https"}
        and _authority(host, parts.scheme, url) in settings.CRM_ALLOWED_HOSTS
    ):
        return
    if plain and parts.scheme == "https" and _port(url) in {None, 443} and any(_fits(host, one) for one in hosts):
        return
    raise Standstill(
        f"{host or 'This address'} is not an address of {label}. Only the vendor's own hosts over https are allowed; "
        "an operator can add others in CRM_ALLOWED_HOSTS.",
        cause="foreign_host",
    )


def _fits(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return -1


def _authority(host: str, scheme: str, url: str) -> str:
    port = _port(url) or (443 if scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
