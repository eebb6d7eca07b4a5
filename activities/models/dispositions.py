"""How each disposition appears in a CRM, and what else it brings about."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import Timestamped
from integrations.registry import provider_choices
from integrations.tenancy import TenantOwned


class DispositionMap(TenantOwned, Timestamped):
    """How one of the dialer's dispositions is written in one CRM."""

    crm_provider = models.CharField("CRM", max_length=40, choices=provider_choices)
    disposition = models.CharField(_("disposition"), max_length=100)
    values = models.JSONField(_("CRM values"), default=dict)

    class Meta:
        db_table = "disposition_maps"
        ordering = ["crm_provider", "disposition"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "crm_provider", "disposition"], name="disposition_once")
        ]
        verbose_name = _("disposition map")
        verbose_name_plural = _("disposition maps")

    def __str__(self) -> str:
        return f"{self.get_crm_provider_display()}: {self.disposition}"


class DispositionEffect(TenantOwned, Timestamped):
    """What a disposition does besides being logged: to the contact, at once, and in every CRM from there."""

    disposition = models.CharField(_("disposition"), max_length=100)
    do_not_call = models.BooleanField(
        _("do not call"), default=False, help_text=_("The contact is never dialled again, from the same moment on.")
    )
    lead_status = models.CharField(
        _("lead status"), max_length=200, default="", blank=True, help_text=_("As the dialer names it; empty: stays.")
    )
    follow_up_days = models.PositiveSmallIntegerField(
        _("follow-up after days"), null=True, blank=True, help_text=_("A task in the CRM for the agent; empty: none.")
    )
    follow_up_title = models.CharField(_("follow-up's title"), max_length=200, default="", blank=True)
    books_meeting = models.BooleanField(
        _("books a meeting"), default=False, help_text=_("A meeting that comes with the call is booked in the CRM.")
    )

    class Meta:
        db_table = "disposition_effects"
        ordering = ["disposition"]
        constraints = [models.UniqueConstraint(fields=["tenant", "disposition"], name="disposition_effect_once")]
        verbose_name = _("effect of a disposition")
        verbose_name_plural = _("effects of dispositions")

    def __str__(self) -> str:
        return self.disposition
