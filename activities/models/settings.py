"""What a tenant decides about its calls."""

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.fields import EncryptedJson
from integrations.models import Timestamped
from integrations.tenancy import TenantOwned


class CallSettings(TenantOwned, Timestamped):
    """One row for each tenant that decided something; a tenant without one has the defaults."""

    class Unknown(models.TextChoices):
        REVIEW = "review", _("The call waits until somebody says whose it is")
        CREATE = "create", _("A new contact is made")

    class Storage(models.TextChoices):
        AS_GIVEN = "as_given", _("The dialer's own link, as it was posted")
        S3 = "s3", _("A bucket that speaks S3; we sign each play")
        SIGNER = "signer", _("The dialer signs each play")

    unknown_outbound = models.CharField(
        _("a number that nobody has, dialled"), max_length=10, choices=Unknown.choices, default=Unknown.REVIEW
    )
    unknown_inbound = models.CharField(
        _("a number that nobody has, calling in"), max_length=10, choices=Unknown.choices, default=Unknown.REVIEW
    )
    note_template = models.TextField(
        _("notes in the CRM"), default="", blank=True, help_text=_("Empty: the usual sections.")
    )
    recording_storage = models.CharField(
        _("where recordings are"), max_length=10, choices=Storage.choices, default=Storage.AS_GIVEN
    )
    recording_settings = models.JSONField(_("storage"), default=dict, blank=True)
    recording_secrets = EncryptedJson(_("storage's secrets"), null=True, blank=True)
    link_seconds = models.PositiveIntegerField(
        _("a play's link is good for seconds"), default=3600, validators=[MinValueValidator(60)]
    )
    recordings_kept_days = models.PositiveIntegerField(
        _("recordings are kept for days"), null=True, blank=True, help_text=_("Empty: for ever.")
    )
    texts_kept_days = models.PositiveIntegerField(
        _("notes and summaries are kept for days"), null=True, blank=True, help_text=_("Empty: for ever.")
    )

    forget_in_crms = models.BooleanField(
        _("also in the CRMs"),
        default=False,
        db_default=False,
        help_text=_(
            "Notes that are forgotten here are taken out of the CRMs' activities too; otherwise they stay there."
        ),
    )

    class Meta:
        db_table = "call_settings"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="call_settings_once")]
        verbose_name = _("call settings")
        verbose_name_plural = _("call settings")

    def __str__(self) -> str:
        return str(_("Call settings"))
