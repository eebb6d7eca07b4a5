"""Why work fails, grouped by cause, and what was done about it; beside it the versions of our own code that ran."""

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.moments import short
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from sync.job_words import cause_name, kind_name


class FailureCause(TenantOwned):
    """What dead jobs and failed events of a tenant have in common. Holds no value of any record (see sync/causes/common.py)."""

    fingerprint = models.CharField(max_length=24)
    provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    kind = models.CharField(_("what"), max_length=40)
    cause = models.CharField(_("cause"), max_length=60, default="", blank=True)
    code = models.CharField(_("the CRM's code"), max_length=100, default="", blank=True)
    fields = models.JSONField(_("fields"), default=list)
    words = models.TextField(_("in the CRM's words"), default="", blank=True)
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))
    total = models.PositiveBigIntegerField(_("failures so far"), default=0)
    snoozed_until = models.DateTimeField(_("silenced until"), null=True)
    snoozed_above = models.PositiveBigIntegerField(_("silenced up to so many failures"), null=True)
    snoozed_by = models.CharField(_("silenced by"), max_length=200, default="", db_default="", blank=True)

    class Meta:
        db_table = "failure_causes"
        ordering = ["-last_seen", "-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "fingerprint"], name="failure_cause_once")]
        indexes = [models.Index(fields=["-last_seen"], name="failure_cause_newest")]
        verbose_name = _("cause of failures")
        verbose_name_plural = _("causes of failures")

    def __str__(self) -> str:
        return f"{kind_name(self.kind)}: {self.code or cause_name(self.cause)}"


class FailureHour(TenantOwned):
    """How often something failed of a cause within an hour."""

    fingerprint = models.CharField(max_length=24)
    hour = models.DateTimeField(_("hour"))
    failures = models.PositiveIntegerField(_("failures"), default=0)

    class Meta:
        db_table = "failure_hours"
        constraints = [models.UniqueConstraint(fields=["tenant", "fingerprint", "hour"], name="failure_hour_once")]
        indexes = [models.Index(fields=["hour"], name="failure_hour_by_age")]
        verbose_name = _("failures of an hour")
        verbose_name_plural = _("failures by hour")

    def __str__(self) -> str:
        return short(self.hour)


class FailureAction(TenantOwned):
    """What somebody did about a cause: who, when, why, and how far it has come. Of several tenants, one each in a batch."""

    class What(models.TextChoices):
        TRY = "try", _("One was tried again")
        REPLAY = "replay", _("All were tried again")
        DISMISS = "dismiss", _("Dismissed")
        SNOOZE = "snooze", _("Snoozed")
        WAKE = "wake", _("Snooze ended")

    id = models.BigAutoField(primary_key=True)
    batch = models.UUIDField(default=uuid.uuid4)
    fingerprint = models.CharField(max_length=24)
    what = models.CharField(_("what"), max_length=10, choices=What.choices)
    about = models.TextField(_("about"), default="", blank=True)
    reason = models.TextField(_("reason"), default="", blank=True)
    by = models.CharField(_("by"), max_length=200)
    asked_at = models.DateTimeField(_("when"), db_default=Now())
    after = models.BigIntegerField(default=0)
    """The job up to which it has come."""
    jobs = models.PositiveIntegerField(_("jobs"), default=0)
    events = models.PositiveIntegerField(_("events"), default=0)
    left = models.PositiveIntegerField(_("left as they were"), default=0)
    finished_at = models.DateTimeField(_("handed over"), null=True)

    class Meta:
        db_table = "failure_actions"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["batch", "tenant"], name="failure_action_once_per_tenant")]
        indexes = [
            models.Index(fields=["tenant", "fingerprint", "-id"], name="failure_action_newest"),
            models.Index(fields=["id"], name="failure_action_open", condition=models.Q(finished_at=None)),
        ]
        verbose_name = _("action on failures")
        verbose_name_plural = _("actions on failures")

    def __str__(self) -> str:
        return f"{self.get_what_display()} #{self.pk}"


class Deployment(models.Model):
    """A version of our code, and when workers first ran it."""

    version = models.CharField(_("version"), max_length=100, unique=True)
    seen_at = models.DateTimeField(_("first seen"), db_default=Now())

    class Meta:
        db_table = "deployments"
        ordering = ["-seen_at"]
        verbose_name = _("deployment")
        verbose_name_plural = _("deployments")

    def __str__(self) -> str:
        return self.version
