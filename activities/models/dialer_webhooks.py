"""What the dialer asked to be told, and what it was told."""

import uuid

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.fields import EncryptedText
from integrations.models import Timestamped
from integrations.tenancy import TenantOwned


class DialerEndpoint(TenantOwned, Timestamped):
    """An address of the dialer that wants to hear what became of its calls."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    url = models.URLField(_("address"), max_length=2000)
    secret = EncryptedText(_("secret"))
    events = models.JSONField(_("only these events"), default=list, blank=True, help_text=_("Empty: all of them."))
    is_active = models.BooleanField(_("active"), default=True)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)

    class Meta:
        db_table = "dialer_endpoints"
        ordering = ["url"]
        constraints = [models.UniqueConstraint(fields=["tenant", "url"], name="dialer_endpoint_once")]
        verbose_name = _("webhook to the dialer")
        verbose_name_plural = _("webhooks to the dialer")

    def __str__(self) -> str:
        return self.url


class DialerMessage(TenantOwned):
    """One message to one address, until it was taken or given up."""

    class State(models.TextChoices):
        READY = "ready", _("Waiting")
        SENT = "sent", _("Taken")
        DEAD = "dead", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    endpoint = models.ForeignKey(DialerEndpoint, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(_("event"), max_length=40)
    about = models.UUIDField(_("about"), null=True)
    payload = models.JSONField(_("message"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.READY)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    status = models.PositiveSmallIntegerField(_("answer"), null=True)
    error = models.TextField(_("problem"), default="", blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        db_table = "dialer_messages"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["not_before"], name="dialer_message_due", condition=models.Q(state="ready")),
            models.Index(fields=["tenant", "-created_at"], name="dialer_message_newest"),
            models.Index(fields=["endpoint", "state"], name="dialer_message_of"),
        ]
        verbose_name = _("message to the dialer")
        verbose_name_plural = _("messages to the dialer")

    def __str__(self) -> str:
        return self.event
