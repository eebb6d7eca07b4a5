"""The people we keep the same on both sides, how they are linked to the CRMs, and what was made of each of their values."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Now, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from mapping.fields import field_name
from sync.models.work import SyncRun


class Contact(TenantOwned):
    """One person to dial, as the dialer sees them."""

    # Several indexes below begin with it: one of its own would only have to be kept.
    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
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
            models.Index(
                fields=["tenant", "last_name", "first_name", "id"],
                name="contact_not_to_call",
                condition=models.Q(do_not_call=True),
            ),
            models.Index(
                fields=["tenant", "last_name", "first_name", "id"],
                name="contact_deleted",
                condition=models.Q(deleted_at__isnull=False),
            ),
            # Names are searched by their beginning, whatever the case.
            models.Index(
                "tenant",
                OpClass(Upper("last_name"), name="text_pattern_ops"),
                OpClass(Upper("first_name"), name="text_pattern_ops"),
                name="contact_names_search",
            ),
            models.Index(
                "tenant", OpClass(Upper("first_name"), name="text_pattern_ops"), name="contact_first_name_search"
            ),
            # Those of several words by each of the words: few have them, so it costs a first load next to nothing.
            GinIndex(
                SearchVector("first_name", "last_name", config="simple"),
                condition=models.Q(last_name__contains=" ")
                | models.Q(last_name__contains="-")
                | models.Q(first_name__contains=" ")
                | models.Q(first_name__contains="-"),
                name="contact_words_of_names",
            ),
        ]
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")

    def __str__(self) -> str:
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email or str(_("(no name)"))


class SyncRecord(TenantOwned, Timestamped):
    """The link between a record in a CRM and ours."""

    # `one_link_per_crm_record` begins with it.
    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)

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
                fields=["connection", "crm_object_type", "local_record_id", "local_table"],
                condition=models.Q(local_record_id__isnull=False),
                name="one_link_for_each_local_row",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "sync_status"],
                name="idx_sync_pending",
                condition=models.Q(sync_status__in=["pending", "error"]),
            ),
            # What needs somebody is counted from this alone; the tenant is there for row-level security.
            models.Index(
                fields=["connection", "sync_status", "tenant"],
                include=["local_table"],
                name="link_unsettled",
                condition=models.Q(sync_status__in=["pending", "error"]),
            ),
            # The few that are looked for among millions, in the order of their list.
            models.Index(
                fields=["tenant", "crm_provider", "crm_object_type", "crm_record_id"],
                name="link_in_conflict",
                condition=models.Q(sync_status="conflict"),
            ),
            models.Index(
                fields=["tenant", "crm_provider", "crm_object_type", "crm_record_id"],
                name="link_outbound",
                condition=models.Q(sync_direction="outbound"),
            ),
            models.Index(fields=["local_record_id"], name="link_by_local_record"),
            # Of links that let go of their contact: see `sync.erasing.links_of`.
            models.Index(
                KeyTransform("contact", "metadata"),
                name="link_that_let_go",
                condition=models.Q(metadata__has_key="contact"),
            ),
            models.Index(fields=["last_synced_at"], include=["connection"], name="link_by_sync"),
        ]
        verbose_name = _("sync record")
        verbose_name_plural = _("sync records")

    def __str__(self) -> str:
        return f"{self.get_crm_provider_display()} {self.crm_object_type} {self.crm_record_id}"


class FieldChange(TenantOwned):
    """One value of one field of one contact: what it was, what it became, who said so and which rule decided."""

    CREATED = "*"
    """The field of an entry that holds all values of a new contact."""

    id = models.BigAutoField(primary_key=True)
    # The contact belongs to the tenant, and the database checks the contact: a second check of each row would tell nothing new.
    tenant = models.ForeignKey("integrations.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False)
    # `story_of_a_value` begins with it.
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="history", db_index=False)
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
        indexes = [
            models.Index(fields=["contact", "field", "-id"], name="story_of_a_value"),
            # Without the values of a first load, of which only one side had any: they are almost all there are.
            models.Index(fields=["tenant", "rule", "-id"], name="change_by_rule", condition=~models.Q(rule="only_one")),
        ]
        verbose_name = _("change")
        verbose_name_plural = _("changes")

    def __str__(self) -> str:
        return str(_("new contact")) if self.field == self.CREATED else field_name(self.field)
