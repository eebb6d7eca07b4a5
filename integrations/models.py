"""Tenants, who acts for them, and their connections to CRMs with the state that all processes share."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from integrations.exchanges_model import ApiExchange
from integrations.fields import EncryptedJson, EncryptedText
from integrations.guessing_model import GuessCount
from integrations.keys_model import ApiKey
from integrations.moments import short
from integrations.people_models import AuditEntry, Invitation, Role
from integrations.records.connections import Connection, Credential
from integrations.registry import provider_choices, provider_label
from integrations.tenancy import OwnIdManager, TenantOwned

__all__ = [
    "ApiExchange",
    "ApiKey",
    "ApiUsage",
    "AuditEntry",
    "CircuitBreaker",
    "ConsentAttempt",
    "CrmConnection",
    "GuessCount",
    "Invitation",
    "Membership",
    "RateWindow",
    "Role",
    "Tenant",
    "Timestamped",
]


class Timestamped(models.Model):
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("changed"), auto_now=True, db_default=Now())

    class Meta:
        abstract = True


class Tenant(Timestamped):
    """One customer of the dialer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    slug = models.SlugField(_("short name"), max_length=63, unique=True)
    name = models.CharField(_("name"), max_length=200)
    region = models.CharField(
        _("home country"),
        max_length=2,
        default="US",
        validators=[RegexValidator("^[A-Z]{2}$", _("Two capital letters, such as US or DE."))],
        help_text=_("How phone numbers without a country code are read."),
    )
    timezone = models.CharField(_("time zone"), max_length=63, default="UTC")
    is_active = models.BooleanField(_("active"), default=True)

    objects = OwnIdManager["Tenant"]()

    class Meta:
        db_table = "tenants"
        ordering = ["name"]
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")

    def __str__(self) -> str:
        return self.name


class Membership(TenantOwned):
    """A person who may see a tenant in the admin. The groups say what they may do at all, the role whether also here."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(
        _("role"), max_length=10, choices=Role.choices, default=Role.ADMIN, db_default=Role.ADMIN.value
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        db_table = "memberships"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_once")]
        verbose_name = _("member")
        verbose_name_plural = _("members")

    def __str__(self) -> str:
        return str(self.user)


class CrmConnection(TenantOwned, Timestamped):
    """A tenant's credential for one CRM, and how it is doing."""

    class Status(models.TextChoices):
        CONNECTED = "connected", _("Connected")
        NEEDS_RECONNECTING = "needs_reconnecting", _("Needs reconnecting")
        PAUSED = "paused", _("Paused")
        DISCONNECTED = "disconnected", _("Disconnected")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    auth = models.CharField(_("kind of credential"), max_length=20, default="", db_default="")
    access_token = EncryptedText(_("access token"))
    refresh_token = EncryptedText(_("refresh token"), null=True, blank=True)
    secrets = EncryptedJson(_("other secrets"), null=True, blank=True)
    instance_url = models.TextField(_("API address"), null=True, blank=True)
    token_expires_at = models.DateTimeField(_("token expires"), null=True, blank=True)
    scopes = ArrayField(models.TextField(), null=True, blank=True)
    metadata = models.JSONField(_("learned about the account"), default=dict, db_default={}, blank=True)
    settings = models.JSONField(_("settings"), default=dict, db_default={}, blank=True)
    account_id = models.CharField(_("account id in the CRM"), max_length=100, default="", db_default="", blank=True)
    account_name = models.CharField(_("account"), max_length=200, default="", db_default="", blank=True)
    account_url = models.URLField(_("account page"), max_length=500, default="", db_default="", blank=True)
    webhook_token = models.UUIDField(default=uuid.uuid4, db_default=RandomUUID(), unique=True, editable=False)
    status = models.CharField(
        max_length=20, choices=Status.choices, default=Status.CONNECTED, db_default=Status.CONNECTED.value
    )
    status_reason = models.TextField(_("reason"), default="", db_default="", blank=True)
    status_since = models.DateTimeField(_("since"), default=None, null=True, blank=True)
    wake_requested_at = models.DateTimeField(null=True, editable=False)
    served_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "crm_credentials"
        ordering = ["provider"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "provider"], name="one_connection_per_crm"),
            models.UniqueConstraint(
                fields=["provider", "account_id"],
                condition=~models.Q(account_id="") & ~models.Q(status="disconnected"),
                name="one_tenant_per_crm_account",
            ),
            models.CheckConstraint(condition=models.Q(provider__regex=r"^[a-z][a-z0-9_]*$"), name="provider_is_a_slug"),
        ]
        verbose_name = _("connection")
        verbose_name_plural = _("connections")

    def __str__(self) -> str:
        return f"{provider_label(self.provider)} – {self.account_name or self.account_id or _('not connected yet')}"

    @property
    def is_usable(self) -> bool:
        return self.status == self.Status.CONNECTED

    def credential(self) -> Credential:
        return Credential(
            auth=self.auth,
            access_token=self.access_token or "",
            refresh_token=self.refresh_token or "",
            instance_url=self.instance_url or "",
            expires_at=self.token_expires_at,
            secrets=self.secrets or {},
            scopes=tuple(self.scopes or ()),
        )

    def take(self, credential: Credential) -> None:
        """Copies a credential into the columns; the caller saves."""
        self.auth = credential.auth
        self.access_token = credential.access_token
        self.refresh_token = credential.refresh_token or None
        self.instance_url = credential.instance_url or None
        self.token_expires_at = credential.expires_at
        self.secrets = dict(credential.secrets)
        self.scopes = list(credential.scopes) or None

    def as_record(self) -> Connection:
        tenant: Any = self.tenant
        return Connection(
            id=str(self.id),
            tenant_id=str(self.tenant_id),
            account_id=self.account_id,
            instance_url=self.instance_url or "",
            region=tenant.region,
            timezone=tenant.timezone,
            settings=self.settings,
            metadata=self.metadata,
            webhook_secret=self.webhook_secret,
        )

    @property
    def webhook_secret(self) -> str:
        """Made from the installation's secret, so that it needs no place to be kept; another SECRET_KEY makes another one."""
        return salted_hmac("dialbridge.webhooks", str(self.webhook_token), algorithm="sha256").hexdigest()

    def remember(self, learned: Mapping[str, Any]) -> None:
        """Adds to the metadata in one statement, so that nothing is lost that another process adds at the same time."""
        added = models.Value(dict(learned), output_field=models.JSONField())
        type(self).objects.filter(pk=self.pk).update(metadata=_Merged(models.F("metadata"), added), updated_at=Now())
        self.metadata = {**self.metadata, **learned}


class _Merged(models.Func):
    template = "(%(expressions)s)"
    arg_joiner = " || "
    output_field = models.JSONField()


class ConsentAttempt(TenantOwned):
    """A person's trip to a CRM's consent page: found by the hash of its state, good once and for minutes.

    Only the vendor and the person's browser know the state itself. The secrets are wiped when the attempt is used.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    state_hash = models.CharField(max_length=64, unique=True, editable=False)
    redirect_uri = models.URLField(max_length=500, editable=False)
    options = models.JSONField(default=dict, editable=False)
    secrets = EncryptedJson(null=True, editable=False)
    replace_account = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    used_at = models.DateTimeField(_("used"), null=True, editable=False)

    class Meta:
        db_table = "consent_attempts"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["created_at"], name="attempt_by_age")]
        verbose_name = _("consent attempt")
        verbose_name_plural = _("consent attempts")

    def __str__(self) -> str:
        return f"{provider_label(self.provider)} {short(self.created_at)}"


class RateWindow(models.Model):
    """Requests of the last seconds in one bucket: a sliding window that all processes share (see transport/limits.py)."""

    key = models.CharField(max_length=120, primary_key=True)
    connection = models.ForeignKey(CrmConnection, null=True, on_delete=models.CASCADE, related_name="windows")
    quota = models.PositiveIntegerField(null=True)
    seconds = models.FloatField(null=True)
    stamps = ArrayField(
        models.FloatField(), default=list, db_default=models.Value([], output_field=ArrayField(models.FloatField()))
    )
    blocked_until = models.FloatField(default=0, db_default=0.0)
    remaining = models.IntegerField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "rate_windows"
        verbose_name = _("rate window")
        verbose_name_plural = _("rate windows")

    def __str__(self) -> str:
        return self.bucket

    @property
    def bucket(self) -> str:
        """What is counted together, as its provider calls it."""
        return self.key.partition(":")[2] or self.key


class CircuitBreaker(models.Model):
    """Whether we stopped asking a CRM that keeps failing; one per connection (see transport/breaker.py)."""

    connection = models.OneToOneField(CrmConnection, primary_key=True, on_delete=models.CASCADE, related_name="breaker")
    failures = models.PositiveIntegerField(default=0, db_default=0)
    opened_at = models.DateTimeField(null=True)
    probe_until = models.DateTimeField(null=True)
    last_error = models.TextField(default="", db_default="")
    changed_at = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        db_table = "circuit_breakers"
        verbose_name = _("circuit breaker")
        verbose_name_plural = _("circuit breakers")

    def __str__(self) -> str:
        return self.state

    @property
    def state(self) -> str:
        if self.opened_at is None:
            return "closed"
        return "half-open" if self.probe_until else "open"


class ApiUsage(models.Model):
    """What a connection asked of its CRM in one hour."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="usage")
    hour = models.DateTimeField()
    calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    throttled = models.PositiveIntegerField(default=0)
    milliseconds = models.PositiveBigIntegerField(default=0)
    works = models.JSONField(_("for what"), default=dict, db_default={}, blank=True)
    """Requests by kind of work (see `transport.limits.Share`)."""
    statuses = models.JSONField(_("by answer"), default=dict, db_default={}, blank=True)
    """Requests by the answer's HTTP status; `none` where there was no answer."""

    class Meta:
        db_table = "api_usage"
        constraints = [models.UniqueConstraint(fields=["connection", "hour"], name="usage_per_hour")]
        indexes = [models.Index(fields=["hour"], name="usage_by_hour")]
        verbose_name = _("API usage")
        verbose_name_plural = _("API usage")

    def __str__(self) -> str:
        return short(self.hour)
