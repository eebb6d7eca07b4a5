"""API keys: who a dialer's request comes from, for which tenant, and how often it may come."""

import json
import logging
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from threading import Lock
from typing import Any

from django.db import connection as database
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from integrations import audit, guessing, prepared, tenancy
from integrations.guessing import API_KEYS, Count
from integrations.kept import Kept
from integrations.keys import note_use
from integrations.models import ApiKey, Tenant

log = logging.getLogger("dialbridge.api")

_OF_KEY, _OF_TENANT = ([field.attname for field in model._meta.concrete_fields] for model in (ApiKey, Tenant))
_COLUMNS = ", ".join([*(f'key."{name}"' for name in _OF_KEY), *(f'tenant."{name}"' for name in _OF_TENANT)])
_FIND = f"""
SELECT {_COLUMNS} FROM api_keys key JOIN tenants tenant ON tenant.id = key.tenant_id
WHERE key.prefix = %s AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > clock_timestamp()) AND tenant.is_active
"""  # noqa: S608 - names of our own columns


def _read(prefixes: Sequence[str]) -> dict[str, ApiKey]:
    found = [(prefix, _read_one(prefix)) for prefix in prefixes]
    return {prefix: key for prefix, key in found if key is not None}


def _read_one(prefix: str) -> ApiKey | None:
    """The key with its tenant. The ORM takes longer to write the question than to get the answer."""
    with tenancy.everyone(), prepared.cursor() as cursor:
        cursor.execute(_FIND, [prefix])
        row = cursor.fetchone()
    if row is None:
        return None
    key: ApiKey = ApiKey.from_db(database.alias, _OF_KEY, row[: len(_OF_KEY)])
    key.uses = json.loads(key.uses) if isinstance(key.uses, str) else key.uses
    key.tenant = Tenant.from_db(database.alias, _OF_TENANT, row[len(_OF_KEY) :])
    return key


_keys: Kept[str, ApiKey] = Kept(_read)


def key_of(header: str) -> ApiKey | None:
    """The good key that an `Authorization` header shows. It is asked for every few seconds only (see `kept`)."""
    scheme, _space, text = header.partition(" ")
    parts = text.strip().split("_", 2)
    if scheme.lower() != "bearer" or len(parts) != 3 or parts[0] != "dbk" or "\x00" in text:
        return None
    key = _keys.get(parts[1])
    if key is None or not key.fits(parts[2]) or (key.expires_at and key.expires_at <= timezone.now()):
        return None
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer dbk_<prefix>_<secret>`. The key is `request.auth`; there is no user."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if header.partition(" ")[0].lower() != "bearer":
            return None
        key = key_of(header)
        if key is None:
            _slow_down(request)
            raise AuthenticationFailed(_("This API key is not valid. Make one in the admin under API keys."))
        match = request.resolver_match
        note_use(key, f"{request.method} /{match.route}" if match else str(request.method))
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Dialbridge"'


def _slow_down(request: Request) -> None:
    """Wrong keys from one address are answered ever more slowly; a right one is never held up. Raises Throttled."""
    network = guessing.network_of(audit.address_of(request._request))  # noqa: SLF001 - DRF's name for Django's request
    outcome = guessing.attempt([Count.of(API_KEYS, "api keys", network)])
    if outcome.refused:
        raise Throttled(wait=outcome.refused, detail="Too many wrong API keys came from your address. Check the key.")
    if outcome.begins:
        log.warning("Many wrong API keys come from %s; further ones wait %.0f seconds", network, outcome.begins)


class HasTenant(BasePermission):
    """Only requests with a valid key."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, ApiKey)


class PerKeyThrottle(SimpleRateThrottle):
    """Counts in this process, as the base class would with Django's own cache, which copies all of a minute's times each time."""

    scope = "api_key"
    num_requests: int | None
    duration: int
    _times: defaultdict[str, deque[float]] = defaultdict(deque)
    """By key: when it was used within the duration, newest first."""
    _counting = Lock()

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return request.auth.prefix if isinstance(request.auth, ApiKey) else None

    def allow_request(self, request: Request, view: Any) -> bool:
        prefix = self.get_cache_key(request, view)
        return prefix is None or self.allows(prefix)

    def allows(self, prefix: str) -> bool:
        """Counts a use of this key unless there were too many."""
        if self.num_requests is None:
            return True
        self.now = time.time()
        with self._counting:
            self.history: Any = self._times[prefix]
            while self.history and self.history[-1] <= self.now - self.duration:
                self.history.pop()
            if len(self.history) >= self.num_requests:
                return False
            self.history.appendleft(self.now)
            return True


class _KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "integrations.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
