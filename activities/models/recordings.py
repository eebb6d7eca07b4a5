"""Who listened to what."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from activities.models.calls import Call
from integrations.moments import short
from integrations.tenancy import TenantOwned


class RecordingPlay(TenantOwned):
    """Somebody asked for a recording, and what they were given."""

    class Way(models.TextChoices):
        MEMBER = "member", _("signed in")
        TOKEN = "token", _("by a token for this call")
        SIGNATURE = "signature", _("by a signed link")
        NOBODY = "", _("unknown")

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="plays")
    at = models.DateTimeField(_("when"), db_default=Now())
    way = models.CharField(_("how"), max_length=10, choices=Way.choices, default="", blank=True)
    who = models.CharField(_("who"), max_length=320, default="", blank=True)
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=20)

    class Meta:
        db_table = "recording_plays"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-at"], name="play_newest")]
        verbose_name = _("play of a recording")
        verbose_name_plural = _("plays of recordings")

    def __str__(self) -> str:
        return f"{short(self.at)}"
