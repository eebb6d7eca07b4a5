"""A request to an address that a tenant chose, and nowhere else: it must not become a way into the network that we run in.

Only https, and only addresses of the public internet, looked at after the name was resolved; the connection then goes to the very
address that was looked at, so that a name which resolves differently the second time gains nothing. Redirects are not followed,
little of the answer is read, and the whole exchange has an end. Hosts in CRM_ALLOWED_HOSTS are the operator's choice and exempt.
"""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.encoding import iri_to_uri
from requests.utils import DEFAULT_CA_BUNDLE_PATH

TIMEOUT = 10.0
"""Seconds without a sign from the other side."""
LONGEST = 15.0
"""Seconds for everything after the connection stands: who answers a letter at a time is cut off."""
MOST_READ = 1000
DEFAULT_PORTS = {"http": 80, "https": 443}
NOT_REALLY_OUTSIDE = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Ways to write an IPv4 address, perhaps a private one, as one of IPv6."""
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(ValueError):
    """Nothing may be sent there. The message says why and what to do."""


class NoAnswer(OSError):
    """Nothing, or nothing intelligible, came back. The message is for the person who looks after the address."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    """At most as much as was asked for."""

    @property
    def text(self) -> str:
        """What was read, on one line."""
        words = " ".join(self.body.decode("utf-8", "replace").split())
        return "".join(letter for letter in words if letter.isprintable())


@dataclass(frozen=True, slots=True)
class Place:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_chosen_by_operator(self) -> bool:
        return self.authority in settings.CRM_ALLOWED_HOSTS


def place_of(url: str) -> Place:
    """What can be said of an address without asking the network. Raises AddressRefused."""
    try:
        parts = urlsplit(iri_to_uri(url))
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as error:
        raise AddressRefused("This is not an address. Write it as https://host/path.") from error
    if not re.fullmatch(r"[a-z0-9_.:-]+", host) or parts.username or parts.password:
        raise AddressRefused("Write the address as https://host/path, without a name or password in it.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    place = Place(parts.scheme, host, port or DEFAULT_PORTS.get(parts.scheme, 443), path)
    if place.scheme != "https" and not (place.scheme == "http" and place.is_chosen_by_operator):
        raise AddressRefused("The address has to begin with https://, so that nobody reads along.")
    return place


def check_address(url: str) -> None:
    """Refuses what can be seen to be wrong while somebody types it; names are resolved when something is sent."""
    place = place_of(url)
    if place.is_chosen_by_operator:
        return
    try:
        address = ipaddress.ip_address(place.host)
    except ValueError:
        if place.host == "localhost" or place.host.endswith((".localhost", ".local", ".internal")):
            raise _not_public(place) from None
        return
    if not is_public(address):
        raise _not_public(place)


def is_public(address: Ip) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or address
    if any(inner in network for network in NOT_REALLY_OUTSIDE if network.version == inner.version):
        return False
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)


def _not_public(place: Place) -> AddressRefused:
    return AddressRefused(
        f"{place.host} is not on the public internet. Use an address that the whole world can reach; an operator can "
        "allow others in CRM_ALLOWED_HOSTS."
    )


def resolved(place: Place) -> str:
    """The address to connect to. One that leads inside spoils all of its name's addresses.

    Raises AddressRefused, and what the system raises for a name that it doesn't know.
    """
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not place.is_chosen_by_operator and not all(is_public(ipaddress.ip_address(one)) for one in addresses):
        raise _not_public(place)
    return addresses[0]


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Raises AddressRefused and NoAnswer. An answer of any status is an answer."""
    return fetch("POST", url, body=body, headers=headers, seconds=LONGEST, most=MOST_READ)


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
    place = place_of(url)
    said = {"User-Agent": "Dialbridge", **(headers or {})}
    try:
        return _exchange(place, method, body, said, seconds, most)
    except socket.gaierror as error:
        raise NoAnswer(f"The name {place.host} is not known. Check the address.") from error
    except TimeoutError as error:
        raise NoAnswer(f"{place.host} did not answer within {min(seconds, TIMEOUT):g} seconds.") from error
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"The certificate of {place.host} is not valid: {error.verify_message}.") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise NoAnswer(f"The connection to {place.host} failed ({type(error).__name__}).") from error


def _exchange(
    place: Place, method: str, body: bytes | None, headers: Mapping[str, str], seconds: float, most: int
) -> Answer:
    patience = min(TIMEOUT, seconds)
    connection = http.client.HTTPConnection(place.host, place.port, timeout=patience)
    connection.default_port = DEFAULT_PORTS[place.scheme]  # else the port would stand in the Host header
    plain = socket.create_connection((resolved(place), place.port), patience)
    # It runs from the first byte on, since a handshake may dawdle as well, and has a handle of its own, since TLS takes the first.
    handle, is_over = plain.dup(), threading.Event()
    cut_off = threading.Timer(seconds, _cut, [handle, is_over])
    cut_off.daemon = True
    cut_off.start()
    try:
        connection.sock = trust().wrap_socket(plain, server_hostname=place.host) if place.scheme == "https" else plain
        connection.request(method, place.path, body, dict(headers))
        response = connection.getresponse()
        answer = Answer(response.status, response.read(most))
    except (OSError, http.client.HTTPException) as error:
        if is_over.is_set():
            raise TimeoutError from error
        raise
    finally:
        cut_off.cancel()
        connection.close()
        plain.close()
        handle.close()
    if is_over.is_set():
        raise TimeoutError  # what was read may be a part only
    return answer


def _cut(handle: socket.socket, is_over: threading.Event) -> None:
    """Ends whatever another thread waits for."""
    is_over.set()
    with contextlib.suppress(OSError):  # it is over already
        handle.shutdown(socket.SHUT_RDWR)
