"""Asks an address that a tenant chose and reads the answer, under the rules of `activities.outside`: https, the public internet
only, the very address that was looked at, no redirects, an end to size and time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from activities.outside import NoAnswer, Place, place_of, resolved

CHUNK = 8 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    """At most as much as was asked for."""


def fetch(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 5.0,
    most: int = 64 * 1024,
) -> Answer:
    """Raises AddressRefused and NoAnswer. `seconds` is for all of it but the look-up of the name; `most` bytes are read."""
    place, until = place_of(url), time.monotonic() + seconds
    default = place.port == (443 if place.scheme == "https" else 80)
    host = place.authority.rpartition(":")[0] if default else place.authority
    sent = {"Host": host, "User-Agent": "Dialbridge", "Accept-Encoding": "identity", **(headers or {})}
    try:
        with _pool(place, seconds) as pool:
            answer = pool.urlopen(
                method, place.path, body=body, headers=sent, redirect=False, retries=False, preload_content=False
            )
            try:
                return Answer(answer.status, _read(answer, most, until))
            finally:
                answer.close()
    except (HTTPError, TimeoutError) as error:
        raise NoAnswer(f"{place.host} did not answer in time, or the connection failed.") from error


def _read(answer: urllib3.BaseHTTPResponse, most: int, until: float) -> bytes:
    found = b""
    while len(found) < most:
        if time.monotonic() > until:
            raise TimeoutError
        # `read1` gives what has arrived: a sender of single letters can't hold us longer than until the end.
        piece = answer.read1(min(CHUNK, most - len(found)), decode_content=False)
        if not piece:
            break
        found += piece
    return found


def _pool(place: Place, seconds: float) -> urllib3.HTTPConnectionPool:
    try:
        address = resolved(place)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"The name {place.host} is not known.") from error
    timeout = urllib3.Timeout(total=seconds)
    if place.scheme == "http":
        return urllib3.HTTPConnectionPool(address, place.port, timeout=timeout)
    return urllib3.HTTPSConnectionPool(
        address,
        place.port,
        timeout=timeout,
        server_hostname=place.host,
        assert_hostname=place.host,
        cert_reqs="CERT_REQUIRED",
        ca_certs=certifi.where(),
    )
