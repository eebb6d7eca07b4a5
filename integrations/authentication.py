"""API keys: who a dialer's request comes from, for which tenant, and how often it may come."""

import json
from typing import Any

from django.db import connection as database
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from integrations import prepared
from integrations.keys import note_use
from integrations.models import ApiKey, Tenant

_OF_KEY, _OF_TENANT = ([field.attname for field in model._meta.concrete_fields] for model in (ApiKey, Tenant))
_COLUMNS = ", ".join([*(f'key."{name}"' for name in _OF_KEY), *(f'tenant."{name}"' for name in _OF_TENANT)])
_FIND = f"""
SELECT {_COLUMNS} FROM api_keys key JOIN tenants tenant ON tenant.id = key.tenant_id
WHERE key.prefix = %s AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > clock_timestamp()) AND tenant.is_active
"""  # noqa: S608 - names of our own columns


def _key_of(prefix: str) -> ApiKey | None:
    """The key with its tenant. Every request asks this: the ORM takes longer to write the question than to get the answer."""
    with prepared.cursor() as cursor:
        cursor.execute(_FIND, [prefix])
        row = cursor.fetchone()
    if row is None:
        return None
    key: ApiKey = ApiKey.from_db(database.alias, _OF_KEY, row[: len(_OF_KEY)])
    key.uses = json.loads(key.uses) if isinstance(key.uses, str) else key.uses
    key.tenant = Tenant.from_db(database.alias, _OF_TENANT, row[len(_OF_KEY) :])
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer dbk_<prefix>_<secret>`. The key is `request.auth`; there is no user."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        scheme, _space, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = self._find(text.strip())
        if key is None:
            raise AuthenticationFailed(_("This API key is not valid. Make one in the admin under API keys."))
        match = request.resolver_match
        note_use(key, f"{request.method} /{match.route}" if match else str(request.method))
        return None, key

    def _find(self, text: str) -> ApiKey | None:
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != "dbk" or "\x00" in text:
            return None
        key = _key_of(parts[1])
        if key is None or not key.fits(parts[2]):
            return None
        return key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Dialbridge"'


class HasTenant(BasePermission):
    """Only requests with a valid key."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, ApiKey)


class PerKeyThrottle(SimpleRateThrottle):
    scope = "api_key"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"throttle_{request.auth.prefix}" if isinstance(request.auth, ApiKey) else None


class _KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "integrations.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
