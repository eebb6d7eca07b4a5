"""How each connection did hour by hour, what is wrong with it now, and who was told of it."""

import uuid
from typing import Any

from django.contrib.postgres.functions import RandomUUID
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.fields import EncryptedText
from integrations.models import CrmConnection, Timestamped
from integrations.moments import short
from integrations.tenancy import TenantOwned


class ConnectionHour(TenantOwned):
    """What one connection did in one hour of UTC; `sync.metrics` writes it every minute, so that no page counts the jobs."""

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField(_("hour"))
    synced = models.PositiveIntegerField(_("records synced"), default=0, db_default=0)
    done = models.PositiveIntegerField(_("jobs done"), default=0, db_default=0)
    dead = models.PositiveIntegerField(_("jobs failed"), default=0, db_default=0)
    latency_ms = models.PositiveBigIntegerField(_("latency of all, added up"), default=0, db_default=0)
    latency_count = models.PositiveIntegerField(_("jobs with a latency"), default=0, db_default=0)
    latency_max_ms = models.PositiveBigIntegerField(_("longest latency"), default=0, db_default=0)
    queue = models.PositiveIntegerField(_("waiting at the last look"), default=0, db_default=0)
    queue_max = models.PositiveIntegerField(_("most that waited"), default=0, db_default=0)
    requests = models.PositiveIntegerField(_("requests"), default=0, db_default=0)
    failures = models.PositiveIntegerField(_("failed requests"), default=0, db_default=0)
    throttled = models.PositiveIntegerField(_("refused for their number"), default=0, db_default=0)
    quota_percent = models.PositiveSmallIntegerField(_("most of a quota used"), null=True)
    sampled_at = models.DateTimeField(_("last look"), db_default=Now())

    class Meta:
        db_table = "connection_hours"
        ordering = ["connection_id", "hour"]
        constraints = [models.UniqueConstraint(fields=["connection", "hour"], name="one_row_per_hour")]
        indexes = [models.Index(fields=["hour"], name="hours_by_age")]
        verbose_name = _("hour of a connection")
        verbose_name_plural = _("hours of connections")

    def __str__(self) -> str:
        return short(self.hour)


class AlertKind(models.TextChoices):
    ERROR_RATE = "error_rate", _("Many errors")
    LATENCY = "latency", _("Events wait too long")
    BREAKER = "breaker", _("The CRM keeps failing")
    QUEUE = "queue", _("The queue is long")
    RECONNECT = "reconnect", _("Needs reconnecting")
    STALE = "stale", _("Nothing was read")
    WORKERS = "workers", _("No worker is alive")


class AlertSettings(TenantOwned, Timestamped):
    """From when on a tenant wants to hear of something, and how. A tenant without a row has these defaults."""

    error_rate_percent = models.FloatField(
        _("errors, in percent of the work of an hour"),
        default=5.0,
        db_default=5.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(100)],
    )
    error_rate_least = models.PositiveIntegerField(
        _("and at least so many failures"),
        default=3,
        db_default=3,
        validators=[MinValueValidator(1)],
        help_text=_("So that one failure in a quiet night, which is all of its hour, wakes nobody."),
    )
    latency_minutes = models.PositiveIntegerField(
        _("minutes that a call, an edit or an event may wait"),
        default=5,
        db_default=5,
        validators=[MinValueValidator(1)],
    )
    queue_depth = models.PositiveIntegerField(
        _("pieces of work that may wait"),
        default=1000,
        db_default=1000,
        validators=[MinValueValidator(1)],
        help_text=_("Calls, edits and events; loads and comparisons are not counted, since they may be long."),
    )
    stale_minutes = models.PositiveIntegerField(
        _("minutes without anything read"), default=30, db_default=30, validators=[MinValueValidator(10)]
    )
    quiet_kinds = models.JSONField(
        _("tell nobody of"), default=list, db_default=[], blank=True, help_text=_("They still stand on the first page.")
    )
    mail_admins = models.BooleanField(_("e-mail to all admins of the tenant"), default=True, db_default=True)
    mail_to = models.JSONField(_("e-mail also to"), default=list, db_default=[], blank=True)
    webhook_url = models.URLField(_("webhook"), max_length=2000, default="", db_default="", blank=True)
    webhook_secret = EncryptedText(_("secret"), null=True, blank=True)

    class Meta:
        db_table = "alert_settings"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="one_alert_settings_per_tenant")]
        verbose_name = _("alert settings")
        verbose_name_plural = _("alert settings")

    def __str__(self) -> str:
        return str(_("Alert settings"))


class Alert(TenantOwned):
    """Something that is wrong with a connection, from when it was first seen until it is over.

    It counts as open from `opened_at` on: some conditions have to hold for a while first. Without a connection and a tenant it
    concerns the whole site. Its words are made from kind and facts whenever it is shown (see `sync.alerting.words`).
    """

    class Severity(models.TextChoices):
        BAD = "bad", _("Urgent")
        WARNING = "warning", _("Warning")

    class Told(models.TextChoices):
        NOBODY = "", _("nobody was told")
        OPENED = "opened", _("told that it is open")
        RESOLVED = "resolved", _("told that it is over")

    id = models.BigAutoField(primary_key=True)
    tenant: Any = models.ForeignKey("integrations.Tenant", null=True, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(CrmConnection, null=True, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(_("what"), max_length=20, choices=AlertKind.choices)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity.choices)
    facts = models.JSONField(_("facts"), default=dict)
    seen_since = models.DateTimeField(_("first seen"))
    last_seen_at = models.DateTimeField(_("last seen"))
    opened_at = models.DateTimeField(_("open since"), null=True)
    resolved_at = models.DateTimeField(_("over since"), null=True)
    quiet_until = models.DateTimeField(null=True)
    """After it came back soon: nobody is told again before then."""
    reopened = models.PositiveIntegerField(_("came back"), default=0, db_default=0)
    episode = models.PositiveIntegerField(default=0, db_default=0)
    """How often people were told that it is open."""
    told = models.CharField(max_length=10, choices=Told.choices, default="", db_default="", blank=True)
    acknowledged_at = models.DateTimeField(_("taken on"), null=True)
    acknowledged_by = models.CharField(_("taken on by"), max_length=200, default="", db_default="", blank=True)

    class Meta:
        db_table = "alerts"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "kind"],
                condition=models.Q(resolved_at=None, connection__isnull=False),
                name="one_open_alert_per_kind",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=models.Q(resolved_at=None, connection=None),
                name="one_open_alert_of_the_site",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="alert_newest"),
            models.Index(fields=["resolved_at"], name="alert_by_end"),
        ]
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")

    def __str__(self) -> str:
        return str(self.get_kind_display())

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.resolved_at is None


class AlertDelivery(TenantOwned):
    """One notice of one alert to one address, until it was taken or given up."""

    class Event(models.TextChoices):
        OPENED = "opened", _("It is open")
        RESOLVED = "resolved", _("It is over")

    class Channel(models.TextChoices):
        MAIL = "mail", _("E-mail")
        WEBHOOK = "webhook", _("Webhook")

    class State(models.TextChoices):
        READY = "ready", _("Waiting")
        SENT = "sent", _("Taken")
        DEAD = "dead", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    tenant: Any = models.ForeignKey("integrations.Tenant", null=True, on_delete=models.CASCADE, related_name="+")
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    episode = models.PositiveIntegerField(default=1)
    event = models.CharField(_("what"), max_length=10, choices=Event.choices)
    channel = models.CharField(_("by"), max_length=10, choices=Channel.choices)
    target = models.CharField(_("to"), max_length=2000)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.READY)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    status = models.PositiveSmallIntegerField(_("answer"), null=True)
    error = models.TextField(_("problem"), default="", blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        db_table = "alert_deliveries"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "episode", "event", "channel", "target"], name="one_notice_per_address"
            )
        ]
        indexes = [models.Index(fields=["not_before"], name="alert_notice_due", condition=models.Q(state="ready"))]
        verbose_name = _("notice of an alert")
        verbose_name_plural = _("notices of alerts")

    def __str__(self) -> str:
        return f"{self.get_event_display()} → {self.target}"
