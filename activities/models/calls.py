"""Calls as the dialer posted them, stage by stage."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.moments import short
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from sync.models import Contact


def id_of(tenant_id: uuid.UUID, external_id: str) -> uuid.UUID:
    """The same for the same call, also in a database that was brought back from before it: the CRMs know the call by this id."""
    return uuid.uuid5(tenant_id, external_id)


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
    from_number = models.CharField(_("agent's number"), max_length=40, default="", db_default="", blank=True)
    related_record_id = models.CharField(
        _("related record"),
        max_length=100,
        default="",
        db_default="",
        blank=True,
        help_text=_("The CRM's id of the account or deal that the call was about."),
    )
    meeting = models.JSONField(_("booked meeting"), null=True, blank=True)
    follow_up = models.JSONField(_("follow-up"), null=True, blank=True)
    metadata = models.JSONField(_("metrics"), default=dict, blank=True)
    review = models.CharField(_("needs a look"), max_length=20, choices=Review.choices, default="", blank=True)
    said_at = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="By field: the time of the stage that set it last."
    )
    revision = models.PositiveIntegerField(default=1, db_default=1)
    recording_purged_at = models.DateTimeField(_("recording forgotten"), null=True, blank=True)
    texts_purged_at = models.DateTimeField(_("texts forgotten"), null=True, blank=True)
    created_at = models.DateTimeField(_("posted"), db_default=Now())
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        db_table = "call_activities"
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["tenant", "external_id"], name="call_once")]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="call_newest"),
            models.Index(fields=["-created_at", "-id"], name="call_newest_of_all"),
            models.Index(fields=["tenant", "-created_at"], condition=~models.Q(review=""), name="call_with_review"),
            models.Index(fields=["contact", "-started_at", "-created_at"], name="newest_call_of_contact"),
        ]
        verbose_name = _("call")
        verbose_name_plural = _("calls")

    def __str__(self) -> str:
        return f"{self.disposition or self.get_direction_display()} {short(self.started_at)}"


class CallStage(TenantOwned):
    """One later stage of a call as the dialer sent it: what it said, and what of it was older than what we hold."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="stages")
    key = models.CharField(_("idempotency key"), max_length=200, default="", blank=True)
    fingerprint = models.CharField(max_length=64, editable=False)
    said_at = models.DateTimeField(_("said"))
    changed = models.JSONField(_("changed"), default=list)
    ignored = models.JSONField(_("older than what was held"), default=list)
    received_at = models.DateTimeField(_("received"), db_default=Now())

    class Meta:
        db_table = "call_stages"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["call", "key"], condition=~models.Q(key=""), name="call_stage_once")
        ]
        verbose_name = _("stage of a call")
        verbose_name_plural = _("stages of calls")

    def __str__(self) -> str:
        return ", ".join(self.changed)
