"""Who the dialer's agents are in a CRM."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import CrmConnection, Timestamped
from integrations.tenancy import TenantOwned


class CrmAgent(TenantOwned):
    """A user of a connected CRM, as it was last read."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="agents")
    crm_user_id = models.CharField(_("id in the CRM"), max_length=100)
    email = models.CharField(_("e-mail"), max_length=320, default="", blank=True)
    name = models.CharField(_("name"), max_length=300, default="", blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    seen_at = models.DateTimeField(_("seen"))

    class Meta:
        db_table = "crm_agents"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["connection", "crm_user_id"], name="crm_agent_once")]
        indexes = [models.Index(fields=["connection", "email"], name="crm_agent_by_email")]
        verbose_name = _("CRM user")
        verbose_name_plural = _("CRM users")

    def __str__(self) -> str:
        return self.name or self.email or self.crm_user_id


class AgentOverride(TenantOwned, Timestamped):
    """Says by hand which CRM user an agent of the dialer is; without it the e-mail decides."""

    connection = models.ForeignKey(CrmConnection, on_delete=models.CASCADE, related_name="agent_overrides")
    agent_email = models.CharField(_("agent's e-mail"), max_length=320)
    crm_user_id = models.CharField(
        _("CRM user"), max_length=100, default="", blank=True, help_text=_("Empty: the agent has no user there.")
    )

    class Meta:
        db_table = "agent_overrides"
        ordering = ["agent_email"]
        constraints = [models.UniqueConstraint(fields=["connection", "agent_email"], name="agent_override_once")]
        verbose_name = _("agent")
        verbose_name_plural = _("agents")

    def __str__(self) -> str:
        return self.agent_email
