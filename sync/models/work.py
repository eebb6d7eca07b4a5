"""What has to be done, and who is there to do it."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection
from integrations.moments import short
from integrations.tenancy import TenantOwned
from sync.job_words import kind_name


class Lane(models.IntegerChoices):
    """What goes first when there is not room for all."""

    DO_NOT_CALL = 0, _("Do not call")
    CALLS = 10, _("Calls")
    EDITS = 20, _("People's edits")
    WEBHOOKS = 30, _("Webhook fetches")
    BACKFILL = 40, _("Back-fill and reconciliation")


class SyncRun(TenantOwned):
    """One pass over an object type of a connection."""

    class Kind(models.TextChoices):
        INITIAL = "initial", _("First load")
        CATCH_UP = "catch_up", _("Catch-up")
        RECONCILIATION = "reconcile", _("Reconciliation")
        BACKFILL = "backfill", _("Back-fill of a field")
        SNAPSHOTS = "snapshots", _("Changed mapping applied")
        UNDO = "undo", _("Undone")

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
        indexes = [
            models.Index(fields=["connection", "-started_at"], name="run_newest"),
            models.Index(fields=["tenant", "-started_at", "-id"], name="run_newest_of_tenant"),
            models.Index(fields=["-started_at", "-id"], name="run_newest_of_all"),
        ]
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.object_type}"


class SyncJob(TenantOwned):
    """One piece of work for one connection. This table decides what runs; everything else only wakes somebody up."""

    class State(models.TextChoices):
        READY = "ready", _("Waiting")
        LEASED = "leased", _("Being worked on")
        DONE = "done", _("Done")
        DEAD = "dead", _("Needs help")
        DISMISSED = "dismissed", _("Dismissed")

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
    fingerprint = models.CharField(max_length=24, default="", db_default="", blank=True, editable=False)
    """Of a dead job: which `FailureCause` it died of. Empty until that is found out."""
    batch = models.UUIDField(null=True, editable=False)
    """Of a job that went back to work with others: see `FailureAction`."""
    run = models.ForeignKey(SyncRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    created_at = models.DateTimeField(_("created"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)
    replayed_at = models.DateTimeField(_("put back to work"), null=True)

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
            models.Index(fields=["tenant", "fingerprint", "id"], name="job_by_cause", condition=models.Q(state="dead")),
            models.Index(fields=["id"], name="job_unsorted", condition=models.Q(state="dead", fingerprint="")),
            models.Index(fields=["batch", "state"], name="job_of_batch", condition=models.Q(batch__isnull=False)),
            models.Index(fields=["finished_at"], name="job_finished", condition=models.Q(finished_at__isnull=False)),
            models.Index(
                fields=["connection", "kind"], name="job_dead_of_connection", condition=models.Q(state="dead")
            ),
            models.Index(fields=["tenant", "-id"], name="job_dead_newest", condition=models.Q(state="dead")),
            models.Index(fields=["-id"], name="job_dead_of_all", condition=models.Q(state="dead")),
        ]
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        return f"{kind_name(self.kind)} #{self.pk}"


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


class Restore(models.Model):
    """The database was brought back from a backup: what was done between both moments is not known here, but may be in the CRMs."""

    since = models.DateTimeField(_("state of"))
    restored_at = models.DateTimeField(_("restored"), db_default=Now())

    class Meta:
        db_table = "restores"
        ordering = ["-restored_at"]
        verbose_name = _("restore")
        verbose_name_plural = _("restores")

    def __str__(self) -> str:
        return short(self.since)
