"""One request to a CRM and its answer, as far as they are kept."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.tenancy import TenantOwned


class ApiExchange(TenantOwned):
    """Without secrets, kept for days (see `integrations.exchanges`). `keys` names the records that it was about."""

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(
        "integrations.CrmConnection", on_delete=models.CASCADE, related_name="exchanges", verbose_name=_("connection")
    )
    at = models.DateTimeField(_("when"), db_default=Now())
    work = models.CharField(_("for what"), max_length=20, default="", db_default="")
    method = models.CharField(_("method"), max_length=10)
    path = models.TextField(_("address"))
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    milliseconds = models.PositiveIntegerField(_("milliseconds"))
    failed = models.BooleanField(_("failed"), default=False, db_default=False)
    problem = models.TextField(_("problem"), default="", db_default="")
    request = models.TextField(_("request"), default="", db_default="")
    response = models.TextField(_("answer"), default="", db_default="")
    left_out = models.PositiveIntegerField(_("characters left out"), default=0, db_default=0)
    keys = ArrayField(
        models.TextField(),
        verbose_name=_("records"),
        default=list,
        db_default=models.Value([], output_field=ArrayField(models.TextField())),
    )
    size = models.PositiveIntegerField(_("characters kept"), default=0, db_default=0)

    class Meta:
        db_table = "api_exchanges"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["tenant", "-id"], include=["size"], name="exchange_newest"),
            models.Index(fields=["tenant", "-id"], condition=models.Q(failed=True), name="exchange_failed"),
            GinIndex(fields=["keys"], name="exchange_of_record"),
        ]
        verbose_name = _("request to a CRM")
        verbose_name_plural = _("requests to CRMs")

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0][:120]}"
