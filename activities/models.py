"""Calls as the dialer posted them, and how each disposition appears in a CRM."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import Timestamped
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from sync.models import Contact


class Call(TenantOwned):
    """A finished call. Which CRMs it reached stands in its jobs and sync records."""

    class Review(models.TextChoices):
        NONE = "", _("Nobody needs to look")
        UNKNOWN_NUMBER = "unknown_number", _("No contact has this number")
        AMBIGUOUS_NUMBER = "ambiguous_number", _("Several contacts share this number")
        NOT_LINKED = "not_linked", _("The contact is in no connected CRM")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    external_id = models.CharField(_("dialer's id"), max_length=200)
    fingerprint = models.CharField(max_length=64, editable=False)
    contact = models.ForeignKey(
        Contact, null=True, blank=True, on_delete=models.SET_NULL, related_name="calls", verbose_name=_("contact")
    )
    crm_provider = models.CharField("CRM", max_length=40, choices=provider_choices, default="", blank=True)
    crm_record_id = models.CharField(_("dialed record"), max_length=100, default="", blank=True)
    phone = models.CharField(_("number"), max_length=40, default="", blank=True)
    direction = models.CharField(
        _("direction"), max_length=10, choices=[("outbound", _("Outbound")), ("inbound", _("Inbound"))]
    )
    duration_seconds = models.PositiveIntegerField(_("seconds"))
    started_at = models.DateTimeField(_("started"))
    disposition = models.CharField(_("disposition"), max_length=100, default="", blank=True)
    notes = models.TextField(_("notes"), default="", blank=True)
    summary = models.TextField(_("summary"), default="", blank=True)
    key_points = models.JSONField(_("key points"), default=list, blank=True)
    next_steps = models.JSONField(_("next steps"), default=list, blank=True)
    recording_url = models.URLField(_("recording"), max_length=2000, default="", blank=True)
    agent_email = models.EmailField(_("agent"), default="", blank=True)
    metadata = models.JSONField(_("metrics"), default=dict, blank=True)
    review = models.CharField(_("needs a look"), max_length=20, choices=Review.choices, default="", blank=True)
    created_at = models.DateTimeField(_("posted"), db_default=Now())
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        db_table = "call_activities"
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["tenant", "external_id"], name="call_once")]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="call_newest"),
            models.Index(fields=["contact", "-started_at"], name="call_of_contact"),
        ]
        verbose_name = _("call")
        verbose_name_plural = _("calls")

    def __str__(self) -> str:
        return f"{self.disposition or self.get_direction_display()} {self.started_at:%Y-%m-%d %H:%M}"


class DispositionMap(TenantOwned, Timestamped):
    """How one of the dialer's dispositions is written in one CRM."""

    crm_provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    disposition = models.CharField(_("disposition"), max_length=100)
    values = models.JSONField(_("CRM values"), default=dict)

    class Meta:
        db_table = "disposition_maps"
        ordering = ["crm_provider", "disposition"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "crm_provider", "disposition"], name="disposition_once")
        ]
        verbose_name = _("disposition map")
        verbose_name_plural = _("disposition maps")

    def __str__(self) -> str:
        return f"{self.get_crm_provider_display()}: {self.disposition}"
