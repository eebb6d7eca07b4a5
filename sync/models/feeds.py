"""What the CRMs tell us, and how far we have heard it."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection
from integrations.moments import short
from integrations.tenancy import TenantOwned
from sync.event_words import feed_name, way_name
from sync.models.work import SyncRun


class InboxEvent(TenantOwned):
    """A webhook or stream event as it came, stored before anything is done with it."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")
        WORKED = "worked", _("Worked")
        FAILED = "failed", _("Failed")

    id = models.BigAutoField(primary_key=True)
    # Of the tenant whose connection it is, and that is checked: a second check would take a quarter of the time of storing events.
    tenant = models.ForeignKey(
        "integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    # `inbox_event_once` begins with it, as `inbox_newest` does with the tenant.
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="events", db_index=False)
    source = models.CharField(_("source"), max_length=20)
    dedupe_key = models.CharField(max_length=200)
    object_type = models.CharField(_("CRM object"), max_length=100, default="", blank=True)
    record_ids = models.JSONField(_("records"), default=list)
    change = models.CharField(_("what happened"), max_length=20, default="", db_default="", blank=True)
    changed = models.JSONField(_("changed fields"), default=list, db_default=[], blank=True)
    values = models.JSONField(_("changed values"), default=dict, db_default={}, blank=True)
    moved_to = models.CharField(_("lives on as"), max_length=100, default="", db_default="", blank=True)
    ours = models.BooleanField(_("our own change"), default=False, db_default=False)
    body = models.BinaryField()
    headers = models.JSONField(default=dict)
    signature_ok = models.BooleanField(_("signature"), default=True)
    occurred_at = models.DateTimeField(_("happened"), null=True)
    received_at = models.DateTimeField(_("received"), db_default=Now())
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RECEIVED)
    error = models.TextField(_("problem"), default="", blank=True)
    fingerprint = models.CharField(max_length=24, default="", db_default="", blank=True, editable=False)
    note = models.TextField(_("note"), default="", db_default="", blank=True)
    worked_at = models.DateTimeField(_("worked"), null=True)

    class Meta:
        db_table = "inbox_events"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["connection", "dedupe_key"], name="inbox_event_once")]
        indexes = [
            models.Index(
                fields=["connection", "object_type", "id"], name="inbox_to_work", condition=models.Q(state="received")
            ),
            models.Index(fields=["tenant", "-received_at"], name="inbox_newest"),
            models.Index(fields=["connection"], name="inbox_failed", condition=models.Q(state="failed")),
            models.Index(
                fields=["tenant", "fingerprint", "id"], name="event_by_cause", condition=models.Q(state="failed")
            ),
        ]
        verbose_name = _("inbox event")
        verbose_name_plural = _("inbox events")

    def __str__(self) -> str:
        about = f"{way_name(self.source)}: {self.object_type}" if self.object_type else way_name(self.source)
        return f"{about} #{self.pk}"


class FeedCursor(TenantOwned):
    """How far a feed of a connection was read; moved in the transaction that applied what was read.

    The row of the feed `stream` has no position: it is the lease of the connection's change stream (see sync/leases.py).
    """

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="cursors")
    feed = models.CharField(_("feed"), max_length=100)
    value = models.JSONField(_("position"), default=dict)
    moved_at = models.DateTimeField(_("moved"), auto_now=True)
    complete_at = models.DateTimeField(_("read to the end"), null=True)
    holder = models.CharField(_("read by"), max_length=100, default="", db_default="", blank=True)
    held_until = models.DateTimeField(_("until"), null=True, help_text=_("Nobody else reads the feed before then."))

    class Meta:
        db_table = "feed_cursors"
        constraints = [models.UniqueConstraint(fields=["connection", "feed"], name="one_cursor_per_feed")]
        indexes = [
            models.Index(fields=["holder", "held_until"], name="stream_lease", condition=models.Q(feed="stream"))
        ]
        verbose_name = _("cursor")
        verbose_name_plural = _("cursors")

    def __str__(self) -> str:
        return feed_name(self.feed)


class Certificate(TenantOwned):
    """What a reconciliation proved of one object type: complete as of a moment, or what was missing and what was repaired."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="certificates")
    object_type = models.CharField(_("CRM object"), max_length=100)
    run = models.ForeignKey(SyncRun, null=True, on_delete=models.SET_NULL, related_name="certificates")
    as_of = models.DateTimeField(_("as of"))
    remote_count = models.PositiveIntegerField(_("in the CRM"))
    local_count = models.PositiveIntegerField(_("known here"))
    missing = models.JSONField(_("were missing here"), default=list)
    stale = models.JSONField(_("were out of date here"), default=list)
    vanished = models.JSONField(_("were gone from the CRM"), default=list)
    repaired = models.PositiveIntegerField(_("repaired"), default=0)
    complete = models.BooleanField(_("complete"))
    created_at = models.DateTimeField(_("issued"), db_default=Now())

    class Meta:
        db_table = "certificates"
        ordering = ["-id"]
        indexes = [models.Index(fields=["connection", "object_type", "-id"], name="certificate_newest")]
        verbose_name = _("completeness certificate")
        verbose_name_plural = _("completeness certificates")

    def __str__(self) -> str:
        return f"{self.object_type} {short(self.as_of)}"
