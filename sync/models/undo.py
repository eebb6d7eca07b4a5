"""What was written to the CRMs, so that it can be taken back; and the taking back of a sync run or of a mapping version."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.tenancy import TenantOwned
from mapping.models import MappingVersion
from sync.models.contacts import SyncRecord
from sync.models.work import SyncRun


class SentValue(TenantOwned):
    """What one mapping version, or one run under it, made of one field of a CRM record.

    `old` and `new` are the CRM's own values at `path`: before the first of several writes in a row, and after the last. `agreed`
    is the base before the first of them, `first` and `value` are the dialer's values that were sent first and last.
    """

    id = models.BigAutoField(primary_key=True)
    # Only ever reached by its record, its connection or its run.
    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="+", db_index=False)
    record = models.ForeignKey(SyncRecord, on_delete=models.CASCADE, related_name="sent", db_index=False)
    field = models.CharField(_("field"), max_length=100)
    path = models.CharField(_("CRM field"), max_length=500)
    old = models.JSONField(_("before"), null=True)
    known = models.BooleanField(default=False, help_text="Whether the CRM's value before was seen.")
    new = models.JSONField(_("after"), null=True)
    agreed = models.JSONField(null=True)
    first = models.JSONField(null=True)
    value = models.JSONField(null=True)
    mapping_version = models.PositiveIntegerField()
    run = models.ForeignKey(SyncRun, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField(_("when"), db_default=Now())

    class Meta:
        db_table = "sent_values"
        constraints = [
            models.UniqueConstraint(
                fields=["record", "field", "mapping_version", "run"], nulls_distinct=False, name="one_memory_per_write"
            )
        ]
        indexes = [
            models.Index(fields=["connection", "mapping_version"], name="sent_by_version"),
            models.Index(fields=["run"], condition=models.Q(run__isnull=False), name="sent_by_run"),
            models.Index(fields=["at"], name="sent_by_age"),
        ]
        verbose_name = _("value sent to a CRM")
        verbose_name_plural = _("values sent to CRMs")

    def __str__(self) -> str:
        return self.path


class Undo(TenantOwned, Timestamped):
    """Takes back what a run or a mapping version did: first as a plan, then in fact."""

    class Status(models.TextChoices):
        PLANNING = "planning", _("Being worked out")
        READY = "ready", _("Plan ready")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Stopped early")
        DISCARDED = "discarded", _("Discarded")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="undos")
    of_run = models.ForeignKey(SyncRun, null=True, on_delete=models.SET_NULL, related_name="undos")
    of_version = models.ForeignKey(MappingVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    back_to = models.ForeignKey(MappingVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    """The version whose rows are in force again afterwards."""
    through = models.ForeignKey(MappingVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    """The newest version when the plan was made: what came after the undone one goes with it."""
    fields = models.JSONField(_("fields"), default=list, blank=True)
    """Dialer fields whose rows differ between these versions."""
    run = models.OneToOneField(SyncRun, null=True, on_delete=models.SET_NULL, related_name="undo")
    """Its own run, by which it can be undone in turn."""
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLANNING)
    listed = models.BooleanField(default=False)
    """Whether the items of the present step, planning or doing, are written down."""
    total = models.PositiveIntegerField(_("values"), default=0)
    done = models.PositiveIntegerField(_("looked at"), default=0)
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    error = models.TextField(_("problem"), default="", blank=True)
    created_by = models.CharField(_("by"), max_length=200, default="", blank=True)
    begun_at = models.DateTimeField(_("begun"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "undos"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant"], condition=models.Q(status="running"), name="one_undo_at_a_time")
        ]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="undo_newest")]
        verbose_name = _("undo")
        verbose_name_plural = _("things undone")

    def __str__(self) -> str:
        return str(self.of_version or self.of_run or _("something that is gone"))


class UndoItem(TenantOwned):
    """One value that is to be taken back, what became of it, and what stands in the way."""

    class Kind(models.TextChoices):
        VALUE = "value", _("Value of a contact")
        SENT = "sent", _("Value in the CRM")
        CREATED = "created", _("New contact")
        REMOVED = "removed", _("Removed contact")

    class State(models.TextChoices):
        WAITING = "waiting", _("Not looked at yet")
        PLANNED = "planned", _("Would be restored")
        DONE = "done", _("Restored")
        AS_BEFORE = "as_before", _("Is as it was already")
        SKIPPED = "skipped", _("Left as it is")

    class Reason(models.TextChoices):
        EDITED_HERE = "edited_here", _("Edited here since")
        EDITED_IN_CRM = "edited_in_crm", _("Edited in the CRM since")
        COMES_BACK = "comes_back", _("Would come back: the mapping in force brings it again")
        NOT_KNOWN = "not_known", _("What was there before is not known")
        GONE = "gone", _("The contact or its record is not there any more")
        IN_USE = "in_use", _("Edited, called or in use since")
        REFUSED = "refused", _("The CRM refused it")

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    undo = models.ForeignKey(Undo, on_delete=models.CASCADE, related_name="items", db_index=False)
    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices)
    # No foreign keys: two contacts that become one keep their items apart.
    contact_id = models.UUIDField()
    record_id = models.UUIDField(null=True)
    field = models.CharField(_("field"), max_length=100)
    path = models.CharField(_("CRM field"), max_length=500, default="", db_default="")
    old = models.JSONField(_("before"), null=True)
    new = models.JSONField(_("given"), null=True)
    facts = models.JSONField(default=dict, db_default={})
    """What deciding needs besides: see `sync.undoing.targets`."""
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING, db_default="waiting")
    reason = models.CharField(_("why"), max_length=20, choices=Reason.choices, default="", db_default="")
    found = models.JSONField(_("now"), null=True)
    who = models.CharField(_("who"), max_length=200, default="", db_default="")
    changed_at = models.DateTimeField(_("when"), null=True)

    class Meta:
        db_table = "undo_items"
        constraints = [
            models.UniqueConstraint(
                fields=["undo", "kind", "contact_id", "field", "record_id", "path"],
                nulls_distinct=False,
                name="one_item_per_value",
            )
        ]
        indexes = [models.Index(fields=["undo", "state", "contact_id"], name="undo_next")]
        verbose_name = _("value to take back")
        verbose_name_plural = _("values to take back")

    def __str__(self) -> str:
        return self.field
