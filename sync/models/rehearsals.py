"""What the CRM's records looked like when they were read last, and mappings that are tried on that before they are in force."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.moments import short
from integrations.tenancy import TenantOwned
from sync.models.contacts import SyncRecord


class RecordSnapshot(TenantOwned):
    """The fields of a linked record as the CRM showed them last. There is none once we have written to the record since."""

    # Only ever reached by its record: an index of the tenants would be for nobody, and that the tenant exists its record shows.
    tenant = models.ForeignKey(
        "integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    record = models.OneToOneField(SyncRecord, primary_key=True, on_delete=models.CASCADE, related_name="snapshot")
    fields = models.JSONField(_("fields"))
    taken_at = models.DateTimeField(_("taken"), db_default=Now())

    class Meta:
        db_table = "record_snapshots"
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")

    def __str__(self) -> str:
        return str(self.record_id)


class Rehearsal(TenantOwned, Timestamped):
    """A mapping, and a conflict policy if it has one, tried on the snapshots before anything of it is in force."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        RUNNING = "running", _("Running")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        PROMOTED = "promoted", _("In force")
        DISCARDED = "discarded", _("Discarded")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="rehearsals")
    rows = models.JSONField(_("rows"), default=list)
    """As in a `MappingVersion`."""
    policy = models.JSONField(_("conflict policy"), null=True, blank=True)
    """{"default", "overrides"}, and then all connections of the tenant are concerned. None: the one in force."""
    basis = models.JSONField(default=dict, blank=True)
    """What was in force when the rehearsal began: mapping versions by CRM, and the policy."""
    tried = models.CharField(max_length=64, default="", blank=True)
    """Fingerprint of the candidate that the results are about."""
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    position = models.JSONField(default=dict, blank=True)
    total = models.PositiveIntegerField(_("records"), default=0)
    done = models.PositiveIntegerField(_("tried"), default=0)
    counts = models.JSONField(_("outcomes"), default=dict, blank=True)
    by_field = models.JSONField(_("changes by field"), default=dict, blank=True)
    problems = models.JSONField(_("problems"), default=dict, blank=True)
    samples = models.JSONField(_("samples"), default=dict, blank=True)
    cost = models.JSONField(_("cost"), default=dict, blank=True)
    error = models.TextField(_("problem"), default="", blank=True)
    created_by = models.CharField(_("by"), max_length=200, default="", blank=True)
    promoted_at = models.DateTimeField(_("promoted"), null=True, blank=True)

    class Meta:
        db_table = "rehearsals"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["connection", "-created_at"], name="rehearsal_newest")]
        verbose_name = _("rehearsal")
        verbose_name_plural = _("rehearsals")

    def __str__(self) -> str:
        return f"{self.connection.get_provider_display()} {short(self.created_at)}"
