"""How a tenant's fields correspond to a CRM's: the rows people edit, the versions the engine runs, what the CRM has."""

import uuid

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned
from mapping.fields import conflict_field_problem
from mapping.transforms import TRANSFORMS


class Strategy(models.TextChoices):
    """Who wins when both sides changed a field to different values."""

    CRM_WINS = "crm_wins", _("The CRM wins")
    DIALER_WINS = "dialer_wins", _("The dialer wins")
    LAST_WRITE_WINS = "last_write_wins", _("The later change wins")
    FIELD_LEVEL_MERGE = "field_level_merge", _("Both are kept where they fit together, else a person decides")
    MANUAL = "manual", _("A person decides")


class Blank(models.TextChoices):
    """What an empty value on one side does to the other."""

    CLEAR = "clear", _("clears the other side")
    IGNORE = "ignore", _("is ignored")
    FILL = "fill", _("is filled; what is filled is never changed")


def transform_choices() -> list[tuple[str, str]]:
    """For the model field: a callable, so that another transform makes no migration."""
    return [(name, str(one.label)) for name, one in TRANSFORMS.items()]


class FieldMapping(TenantOwned, Timestamped):
    """One row of the mapping that people edit. Saving publishes a new `MappingVersion`."""

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("CRM → dialer")
        OUTBOUND = "outbound", _("dialer → CRM")
        BIDIRECTIONAL = "bidirectional", _("both ways")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    crm_provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    sync_direction = models.CharField(_("direction"), max_length=20, choices=Direction.choices)
    dialer_entity = models.CharField(
        _("entity"), max_length=40, choices=[("contact", _("Contact")), ("call_activity", _("Call"))], default="contact"
    )
    dialer_field = models.CharField(_("dialer field"), max_length=100)
    crm_object = models.CharField(_("CRM object"), max_length=100)
    crm_field = models.CharField(
        _("CRM field"),
        max_length=300,
        help_text=_('As discovered, or a path such as phones[type=work].value or customFields."Last Called".'),
    )
    transform_rule = models.CharField(
        _("transform"), max_length=40, null=True, blank=True, default="none", choices=transform_choices
    )
    custom_transform = models.JSONField(_("transform options"), null=True, blank=True)
    is_required = models.BooleanField(_("required"), default=False, db_default=False)
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    object_overrides = models.JSONField(
        _("on other objects"),
        default=dict,
        db_default={},
        blank=True,
        help_text=_('Where the field lives on another CRM object: {"Contact": "Account.Name"}; null: not there.'),
    )
    strategy = models.CharField(
        _("on conflict"), max_length=30, choices=Strategy.choices, blank=True, default="", db_default=""
    )
    on_blank = models.CharField(
        _("an empty value"), max_length=10, choices=Blank.choices, default=Blank.CLEAR, db_default=Blank.CLEAR.value
    )
    validations = models.JSONField(_("validation"), default=list, db_default=[], blank=True)

    class Meta:
        db_table = "field_mappings"
        ordering = ["crm_provider", "dialer_entity", "dialer_field"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "crm_provider", "dialer_entity", "dialer_field"], name="one_row_per_dialer_field"
            ),
            models.CheckConstraint(
                condition=models.Q(sync_direction__in=["inbound", "outbound", "bidirectional"]),
                name="mapping_direction_known",
            ),
        ]
        verbose_name = _("field mapping")
        verbose_name_plural = _("field mappings")

    def __str__(self) -> str:
        return f"{self.dialer_field} ↔ {self.crm_field}"

    def clean(self) -> None:
        from mapping.publishing import problems_of_row

        problems_of_row(self)


class MappingVersion(TenantOwned):
    """An unchangeable snapshot of a tenant's rows for one CRM; the newest one is in force."""

    crm_provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    number = models.PositiveIntegerField(_("version"))
    rows = models.JSONField(_("rows"))
    note = models.CharField(_("what changed"), max_length=300, blank=True, default="")
    created_at = models.DateTimeField(_("published"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "mapping_versions"
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "crm_provider", "number"], name="mapping_version_once")
        ]
        verbose_name = _("mapping version")
        verbose_name_plural = _("mapping versions")

    def __str__(self) -> str:
        return f"{self.get_crm_provider_display()} v{self.number}"


class MappingDraft(TenantOwned, Timestamped):
    """What one person is making of a connection's mapping. Nothing of it is in force, and everybody has a draft of their own."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="mapping_drafts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    rows = models.JSONField(default=list)
    """As in a `MappingVersion`, each with `active` besides: rows that are switched off are kept, too."""
    based_on = models.PositiveIntegerField(default=0)
    """Number of the version that was in force when the draft was begun, or brought up to date last."""
    revision = models.PositiveIntegerField(default=1)
    """Counts the savings, so that of two windows neither overwrites the other unseen."""
    rehearsal = models.UUIDField(null=True, blank=True)
    """The rehearsal in which it was tried last; it belongs to the app above."""

    class Meta:
        db_table = "mapping_drafts"
        constraints = [models.UniqueConstraint(fields=["connection", "user"], name="one_draft_for_each_person")]
        verbose_name = _("draft of a mapping")
        verbose_name_plural = _("drafts of mappings")

    def __str__(self) -> str:
        return f"{self.connection} {self.user}"


class CrmField(TenantOwned):
    """A field that the CRM has, as discovered for the connected user."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="fields")
    object_type = models.CharField(_("CRM object"), max_length=100)
    path = models.CharField(_("field"), max_length=300)
    label = models.CharField(_("label"), max_length=300)
    kind = models.CharField(_("type"), max_length=30)
    writable = models.BooleanField(_("writable"), default=True)
    custom = models.BooleanField(_("custom"), default=False)
    required = models.BooleanField(_("required"), default=False)
    max_length = models.PositiveIntegerField(null=True, blank=True)
    options = models.JSONField(_("choices"), default=list, blank=True)
    seen_at = models.DateTimeField(_("last seen"))
    missing_since = models.DateTimeField(
        _("missing since"), null=True, blank=True, help_text=_("Deleted, renamed or hidden from this connection.")
    )

    class Meta:
        db_table = "crm_fields"
        ordering = ["object_type", "label"]
        constraints = [models.UniqueConstraint(fields=["connection", "object_type", "path"], name="crm_field_once")]
        indexes = [models.Index(fields=["object_type", "label", "id"], name="crm_field_by_label")]
        verbose_name = _("CRM field")
        verbose_name_plural = _("CRM fields")

    def __str__(self) -> str:
        return f"{self.object_type}.{self.path}"


class CrmObject(TenantOwned):
    """An object type of the CRM whose fields we keep, and when they were last looked at."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="objects_seen")
    object_type = models.CharField(_("CRM object"), max_length=100)
    stamp = models.CharField(max_length=200, default="", blank=True)
    checked_at = models.DateTimeField(_("last looked at"))
    read_at = models.DateTimeField(_("last read in full"))

    class Meta:
        db_table = "crm_objects"
        ordering = ["object_type"]
        constraints = [models.UniqueConstraint(fields=["connection", "object_type"], name="crm_object_once")]
        verbose_name = _("CRM object")
        verbose_name_plural = _("CRM objects")

    def __str__(self) -> str:
        return self.object_type


class SchemaChange(TenantOwned):
    """Something that changed in a CRM's fields since the last look, with the mapping rows that it breaks."""

    class Kind(models.TextChoices):
        ADDED = "added", _("New field")
        RETURNED = "returned", _("Field is back")
        REMOVED = "removed", _("Field is gone or hidden")
        LABEL = "label", _("New label")
        KIND = "kind", _("Other type")
        WRITABLE = "writable", _("Right to write changed")
        REQUIRED = "required", _("Required or not any more")
        MAX_LENGTH = "max_length", _("Other length")
        OPTIONS = "options", _("Other choices")

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="schema_changes")
    object_type = models.CharField(_("CRM object"), max_length=100)
    path = models.CharField(_("field"), max_length=300)
    label = models.CharField(_("label"), max_length=300)
    change = models.CharField(_("what changed"), max_length=20, choices=Kind.choices)
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("now"), null=True)
    breaks = models.JSONField(_("breaks"), default=list)
    """[{"dialer_field", "why"}]: the rows of the mapping in force at that moment."""
    found_at = models.DateTimeField(_("found"))

    class Meta:
        db_table = "schema_changes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["connection", "-id"], name="schema_change_newest")]
        verbose_name = _("schema change")
        verbose_name_plural = _("schema changes")

    def __str__(self) -> str:
        return f"{self.object_type}.{self.path}"


class ConflictPolicy(TenantOwned, Timestamped):
    """A tenant's rule for conflicts: a default, and overrides by dialer field."""

    default = models.CharField(
        _("unless said otherwise"), max_length=30, choices=Strategy.choices, default=Strategy.CRM_WINS
    )
    overrides = models.JSONField(
        _("by field"), default=dict, blank=True, help_text='{"lead_status": "last_write_wins"}'
    )

    class Meta:
        db_table = "conflict_policies"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="one_policy_per_tenant")]
        verbose_name = _("conflict policy")
        verbose_name_plural = _("conflict policies")

    def __str__(self) -> str:
        return self.get_default_display()

    def clean(self) -> None:
        problems = [
            problem for field, strategy in dict(self.overrides or {}).items() if (problem := _wrong(field, strategy))
        ]
        if problems:
            raise ValidationError({"overrides": problems})


def _wrong(field: str, strategy: str) -> str:
    problem = conflict_field_problem(field)
    if problem:
        return problem
    if strategy not in Strategy.values:
        return f"{field}: {strategy!r} is no strategy. Choose one of {', '.join(Strategy.values)}."
    return ""
