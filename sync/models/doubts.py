"""What only a person can decide."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection
from integrations.tenancy import TenantOwned
from mapping.models import Strategy
from sync.models.contacts import Contact, SyncRecord


class ConflictDecision(TenantOwned):
    """What a person decided about one conflict, or about all that were alike: what has to be known to take it back."""

    class Choice(models.TextChoices):
        OURS = "ours", _("The dialer's value")
        THEIRS = "theirs", _("The CRM's value")
        OTHER = "other", _("Another value")

    class RuleIn(models.TextChoices):
        MAPPING = "mapping", _("Field mapping")
        POLICY = "policy", _("Conflict policy")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(_("field"), max_length=100)
    choice = models.CharField(_("kept"), max_length=10, choices=Choice.choices)
    alike = models.BooleanField(_("all alike"), default=False)
    count = models.PositiveIntegerField(_("conflicts"), default=0)
    made_at = models.DateTimeField(_("decided"), db_default=Now())
    made_by = models.CharField(_("by"), max_length=200, default="", blank=True)
    rule_in = models.CharField(max_length=10, choices=RuleIn.choices, default="", blank=True)
    """Where deciding all alike made a rule; empty where it made none."""
    rule_before = models.CharField(max_length=30, choices=Strategy.choices, default="", blank=True)
    rule_after = models.CharField(max_length=30, choices=Strategy.choices, default="", blank=True)
    undone_at = models.DateTimeField(_("taken back"), null=True, blank=True)
    undone_by = models.CharField(_("taken back by"), max_length=200, default="", blank=True)
    undone = models.PositiveIntegerField(_("open again"), default=0)

    class Meta:
        db_table = "conflict_decisions"
        ordering = ["-made_at"]
        indexes = [models.Index(fields=["tenant", "-made_at"], name="decision_newest")]
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")

    def __str__(self) -> str:
        return self.field


class Conflict(TenantOwned):
    """A field that both sides changed to different values since they last agreed."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        DECIDED = "decided", _("Decided")

    record = models.ForeignKey(SyncRecord, on_delete=models.CASCADE, related_name="conflicts")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="conflicts")
    field = models.CharField(_("field"), max_length=100)
    base = models.JSONField(_("agreed before"), null=True)
    ours = models.JSONField(_("dialer"), null=True)
    theirs = models.JSONField("CRM", null=True)
    ours_at = models.DateTimeField(null=True)
    theirs_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    strategy = models.CharField(_("decided by"), max_length=30, choices=Strategy.choices, blank=True, default="")
    winner = models.CharField(_("kept"), max_length=10, blank=True, default="")
    created_at = models.DateTimeField(_("found"), db_default=Now())
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_by = models.CharField(_("by"), max_length=200, default="", db_default="", blank=True)
    value = models.JSONField(_("kept value"), null=True)
    decision = models.ForeignKey(
        ConflictDecision, null=True, blank=True, on_delete=models.SET_NULL, related_name="conflicts"
    )

    class Meta:
        db_table = "conflicts"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["record", "field"], condition=models.Q(status="open"), name="one_open_conflict_per_field"
            )
        ]
        indexes = [models.Index(fields=["tenant", "status", "-id"], name="conflict_newest")]
        verbose_name = _("conflict")
        verbose_name_plural = _("conflicts")

    def __str__(self) -> str:
        return self.field


class Quarantine(TenantOwned):
    """A field of one record that both sides kept changing in turn. It is not written to the CRM until somebody releases it."""

    record = models.ForeignKey(SyncRecord, on_delete=models.CASCADE, related_name="quarantines")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="quarantines")
    field = models.CharField(_("field"), max_length=100)
    ours = models.JSONField(_("what we wrote"), null=True)
    theirs = models.JSONField(_("what the CRM made of it"), null=True)
    bounces = models.PositiveIntegerField(_("times"), default=0)
    reason = models.TextField(_("reason"))
    since = models.DateTimeField(_("since"), db_default=Now())
    released_at = models.DateTimeField(_("released"), null=True)
    released_by = models.CharField(_("by"), max_length=200, default="", blank=True)

    class Meta:
        db_table = "quarantines"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["record", "field"], condition=models.Q(released_at=None), name="one_quarantine_per_field"
            )
        ]
        indexes = [models.Index(fields=["tenant", "released_at", "-id"], name="quarantine_newest")]
        verbose_name = _("quarantined field")
        verbose_name_plural = _("quarantined fields")

    def __str__(self) -> str:
        return self.field


class MatchReview(TenantOwned):
    """Two contacts of ours that may be the same person. Nobody guesses: somebody decides."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        SAME = "same", _("Same person")
        DIFFERENT = "different", _("Different people")

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="reviews")
    candidate = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    record = models.ForeignKey(SyncRecord, null=True, on_delete=models.SET_NULL, related_name="reviews")
    by = models.CharField(_("found by"), max_length=20)
    score = models.FloatField(_("score"))
    reasons = models.JSONField(_("reasons"), default=list)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    created_at = models.DateTimeField(_("found"), db_default=Now())
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_by = models.CharField(_("by"), max_length=200, default="", blank=True)

    class Meta:
        db_table = "match_reviews"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["contact", "candidate"], name="one_review_per_pair")]
        indexes = [models.Index(fields=["tenant", "status", "-score"], name="review_best_first")]
        verbose_name = _("possible duplicate")
        verbose_name_plural = _("possible duplicates")

    def __str__(self) -> str:
        return f"{self.contact}, {self.candidate}"
