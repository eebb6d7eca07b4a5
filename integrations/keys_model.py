"""The keys with which a dialer signs in."""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.tenancy import TenantOwned

if TYPE_CHECKING:
    from integrations.models import Tenant


class ApiKey(TenantOwned):
    """A dialer's key. Only a hash is kept: the key itself is shown once, when it is made."""

    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("begins with"), max_length=12, unique=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    expires_at = models.DateTimeField(_("good until"), null=True, editable=False)
    uses = models.JSONField(_("used for"), default=dict, db_default={}, editable=False)

    class Meta:
        db_table = "api_keys"
        ordering = ["-created_at"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} (dbk_{self.prefix}…)"

    @classmethod
    def issue(cls, tenant: "Tenant", name: str, expires_at: datetime | None = None) -> tuple["ApiKey", str]:
        """A new key and its text, which nobody can read again."""
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = cls.objects.create(
            tenant=tenant, name=name, prefix=prefix, key_hash=cls.digest(secret), expires_at=expires_at
        )
        return key, f"dbk_{prefix}_{secret}"

    @staticmethod
    def digest(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()

    def fits(self, secret: str) -> bool:
        return hmac.compare_digest(self.key_hash, self.digest(secret))

    @property
    def state(self) -> str:
        """in use, revoked or expired."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "in use"
