"""The people we keep the same on both sides, how they are linked, and every piece of work that does it."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Now, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from mapping.models import Strategy


class Contact(TenantOwned):
    """One person to dial, as the dialer sees them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    first_name = models.TextField(_("first name"), default="", blank=True)
    last_name = models.TextField(_("last name"), default="", blank=True)
    email = models.TextField(_("e-mail"), default="", blank=True)
    phone = models.TextField(_("phone"), default="", blank=True, help_text=_("E.164"))
    mobile_phone = models.TextField(_("mobile phone"), default="", blank=True, help_text=_("E.164"))
    company = models.TextField(_("company"), default="", blank=True)
    title = models.TextField(_("title"), default="", blank=True)
    lead_status = models.TextField(_("lead status"), default="", blank=True)
    owner_email = models.TextField(_("owner"), default="", blank=True)
    do_not_call = models.BooleanField(_("do not call"), default=False)
    last_called_at = models.DateTimeField(_("last called"), null=True, blank=True)
    last_disposition = models.TextField(_("last disposition"), default="", blank=True)
    call_count = models.PositiveIntegerField(_("calls"), default=0)
    ai_score = models.IntegerField(_("AI score"), null=True, blank=True)
    custom = models.JSONField(_("custom fields"), default=dict, blank=True)
    version = models.PositiveIntegerField(_("version"), default=1)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now, db_default=Now(), editable=False)
    change_xid = models.BigIntegerField(
        db_default=0, editable=False, help_text="Set by a trigger: the transaction of the last change, for the feed."
    )

    class Meta:
        db_table = "contacts"
        ordering = ["last_name", "first_name", "id"]
        indexes = [
            models.Index(fields=["tenant", "change_xid", "id"], name="contact_feed"),
            models.Index(fields=["tenant", "email"], name="contact_email", condition=~models.Q(email="")),
            models.Index(fields=["tenant", "phone"], name="contact_phone", condition=~models.Q(phone="")),
            models.Index(
                fields=["tenant", "mobile_phone"], name="contact_mobile", condition=~models.Q(mobile_phone="")
            ),
            models.Index(fields=["tenant", "last_name", "first_name", "id"], name="contact_by_name"),
            # Names are searched by their beginning, whatever the case.
            models.Index(
                "tenant", OpClass(Upper("last_name"), name="text_pattern_ops"), name="contact_last_name_search"
            ),
            models.Index(
                "tenant", OpClass(Upper("first_name"), name="text_pattern_ops"), name="contact_first_name_search"
            ),
        ]
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")

    def __str__(self) -> str:
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email or str(_("(no name)"))


class SyncRun(TenantOwned):
    """One pass over an object type of a connection."""

    class Kind(models.TextChoices):
        INITIAL = "initial", _("First load")
        CATCH_UP = "catch_up", _("Catch-up")
        RECONCILIATION = "reconcile", _("Reconciliation")
        BACKFILL = "backfill", _("Back-fill of a field")

    class Status(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Stopped early")
        PAUSED = "paused", _("Paused")

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    object_type = models.CharField(_("CRM object"), max_length=100)
    fields_only = models.JSONField(
        _("only these fields"),
        default=list,
        db_default=[],
        blank=True,
        help_text=_("Dialer fields that a back-fill moves."),
    )
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.RUNNING)
    mapping_version = models.PositiveIntegerField(null=True)
    expected = models.PositiveIntegerField(_("expected"), null=True)
    created = models.PositiveIntegerField(_("created"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    conflicts = models.PositiveIntegerField(_("conflicts"), default=0)
    errored = models.PositiveIntegerField(_("errored"), default=0)
    api_calls = models.PositiveIntegerField(_("API calls"), default=0)
    error = models.TextField(_("problem"), default="", blank=True)
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        db_table = "sync_runs"
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["connection", "-started_at"], name="run_newest")]
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.object_type}"


class SyncRecord(TenantOwned, Timestamped):
    """The link between a record in a CRM and ours."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        SYNCED = "synced", _("In sync")
        ERROR = "error", _("Error")
        CONFLICT = "conflict", _("Conflict")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    connection = models.ForeignKey(CrmConnection, null=True, on_delete=models.CASCADE, related_name="records")
    crm_provider = models.TextField("CRM", choices=provider_choices)
    crm_object_type = models.TextField(_("CRM object"))
    crm_record_id = models.TextField(_("id in the CRM"))
    local_record_id = models.UUIDField(_("our id"), null=True)
    local_table = models.TextField(_("our table"))
    sync_direction = models.TextField(
        _("direction"), choices=[("inbound", _("CRM → dialer")), ("outbound", _("dialer → CRM"))]
    )
    sync_status = models.TextField(_("status"), choices=Status.choices, default=Status.PENDING, db_default="pending")
    last_synced_at = models.DateTimeField(_("last synced"), null=True)
    last_crm_modified_at = models.DateTimeField(_("changed in the CRM"), null=True)
    last_local_modified_at = models.DateTimeField(_("changed here"), null=True)
    error_message = models.TextField(_("problem"), null=True, blank=True)
    retry_count = models.IntegerField(default=0, db_default=0)
    metadata = models.JSONField(default=dict, db_default={}, blank=True)
    base = models.JSONField(
        _("agreed values"), default=dict, db_default={}, help_text=_("The values both sides agreed on last.")
    )
    url = models.TextField(default="", db_default="", blank=True)

    class Meta:
        db_table = "crm_sync_records"
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "crm_provider", "crm_object_type", "crm_record_id"], name="one_link_per_crm_record"
            ),
            models.UniqueConstraint(
                fields=["connection", "crm_object_type", "local_record_id"],
                condition=models.Q(local_record_id__isnull=False),
                name="one_link_per_local_record",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "sync_status"],
                name="idx_sync_pending",
                condition=models.Q(sync_status__in=["pending", "error"]),
            ),
            models.Index(fields=["local_record_id"], name="link_by_local_record"),
        ]
        verbose_name = _("sync record")
        verbose_name_plural = _("sync records")

    def __str__(self) -> str:
        return f"{self.get_crm_provider_display()} {self.crm_object_type} {self.crm_record_id}"


class Lane(models.IntegerChoices):
    """What goes first when there is not room for all."""

    DO_NOT_CALL = 0, _("Do not call")
    CALLS = 10, _("Calls")
    EDITS = 20, _("People's edits")
    WEBHOOKS = 30, _("Webhook fetches")
    BACKFILL = 40, _("Back-fill and reconciliation")


class SyncJob(TenantOwned):
    """One piece of work for one connection. This table decides what runs; everything else only wakes somebody up."""

    class State(models.TextChoices):
        READY = "ready", _("Waiting")
        LEASED = "leased", _("Being worked on")
        DONE = "done", _("Done")
        DEAD = "dead", _("Needs help")

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(_("what"), max_length=40)
    key = models.CharField(max_length=200, help_text=_("What it is about; two waiting jobs never have the same."))
    local_record_id = models.UUIDField(null=True)
    payload = models.JSONField(default=dict, blank=True)
    lane = models.PositiveSmallIntegerField(_("lane"), choices=Lane.choices, default=Lane.EDITS)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.READY)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    first_attempt_at = models.DateTimeField(_("first tried"), null=True)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    cause = models.CharField(_("cause"), max_length=60, default="", blank=True)
    error = models.TextField(_("problem"), default="", blank=True)
    error_detail = models.TextField(_("technical detail"), default="", blank=True)
    run = models.ForeignKey(SyncRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    created_at = models.DateTimeField(_("created"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        db_table = "sync_jobs"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "kind", "key"], condition=models.Q(state="ready"), name="one_waiting_job_per_key"
            ),
            models.UniqueConstraint(
                fields=["connection", "kind", "key"], condition=models.Q(state="leased"), name="one_leased_job_per_key"
            ),
        ]
        indexes = [
            models.Index(
                fields=["connection", "lane", "id"],
                include=["not_before"],
                name="job_next",
                condition=models.Q(state="ready"),
            ),
            models.Index(fields=["not_before"], name="job_due", condition=models.Q(state="ready")),
            models.Index(fields=["lease_until"], name="job_lease", condition=models.Q(state="leased")),
            models.Index(fields=["tenant", "cause", "id"], name="job_dead", condition=models.Q(state="dead")),
            models.Index(fields=["local_record_id", "kind"], name="job_of_record"),
        ]
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class InboxEvent(TenantOwned):
    """A webhook or stream event as it came, stored before anything is done with it."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")
        WORKED = "worked", _("Worked")
        FAILED = "failed", _("Failed")

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="events")
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
        ]
        verbose_name = _("inbox event")
        verbose_name_plural = _("inbox")

    def __str__(self) -> str:
        return f"{self.source} {self.dedupe_key}"


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
        return self.feed


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


class FieldChange(TenantOwned):
    """One value of one field of one contact: what it was, what it became, who said so and which rule decided."""

    id = models.BigAutoField(primary_key=True)
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="history")
    field = models.CharField(_("field"), max_length=100)
    old = models.JSONField(_("before"), null=True)
    new = models.JSONField(_("after"), null=True)
    lost = models.JSONField(_("value that lost"), null=True)
    source = models.CharField(_("set by"), max_length=20, help_text="crm, api, person or call")
    actor = models.CharField(_("who"), max_length=200, default="")
    rule = models.CharField(_("rule"), max_length=30, default="")
    connection = models.ForeignKey(CrmConnection, null=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey(SyncRun, null=True, on_delete=models.SET_NULL, related_name="+")
    mapping_version = models.PositiveIntegerField(null=True)
    at = models.DateTimeField(_("when"), db_default=Now())

    class Meta:
        db_table = "field_changes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["contact", "field", "-id"], name="story_of_a_value")]
        verbose_name = _("change")
        verbose_name_plural = _("changes")

    def __str__(self) -> str:
        return self.field


class WorkerBeat(models.Model):
    """A sign of life of a supervised cluster, or of a process that listens to change streams."""

    class Kind(models.TextChoices):
        WORKER = "worker", _("Worker")
        LISTENER = "listener", _("Listener")

    id = models.TextField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.WORKER, db_default="worker")
    beaten_at = models.DateTimeField()
    host = models.TextField()
    pid = models.IntegerField()

    class Meta:
        db_table = "worker_beats"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"


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
        return f"{self.score:.2f}"


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
        return f"{self.object_type} {self.as_of:%Y-%m-%d %H:%M}"
