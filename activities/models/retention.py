"""What was forgotten for its age."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.moments import short
from integrations.tenancy import TenantOwned


class RetentionRun(TenantOwned):
    """One night's forgetting for one tenant."""

    at = models.DateTimeField(_("when"), db_default=Now())
    recordings = models.PositiveIntegerField(_("recordings forgotten"), default=0)
    texts = models.PositiveIntegerField(_("calls whose texts were forgotten"), default=0)
    in_crms = models.PositiveIntegerField(_("activities to shorten in CRMs"), default=0)

    class Meta:
        db_table = "retention_runs"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-at"], name="retention_newest")]
        verbose_name = _("forgetting run")
        verbose_name_plural = _("forgetting runs")

    def __str__(self) -> str:
        return short(self.at)
