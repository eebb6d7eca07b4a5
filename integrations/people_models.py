"""Invitations to a tenant, and what people did there."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.moments import short
from integrations.tenancy import TenantOwned


class Role(models.TextChoices):
    """What somebody may do in one tenant."""

    ADMIN = "admin", _("Admin: sees and changes everything of the tenant")
    VIEWER = "viewer", _("Viewer: sees everything, changes nothing")


def new_nonce() -> str:
    return secrets.token_hex(16)


class Invitation(TenantOwned):
    """An offer to join a tenant. Its link is signed and carries the nonce, so that sending it anew ends the older link."""

    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.VIEWER)
    nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("invited by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("good until"), editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, editable=False)
    accepted_at = models.DateTimeField(_("accepted"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)

    class Meta:
        db_table = "invitations"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="one_open_invitation",
            )
        ]
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")

    def __str__(self) -> str:
        return str(self.email)

    @property
    def state(self) -> str:
        """accepted, withdrawn, expired or open."""
        if self.accepted_at:
            return "accepted"
        if self.revoked_at:
            return "withdrawn"
        return "expired" if self.expires_at <= timezone.now() else "open"


class AuditEntry(TenantOwned):
    """Who did what to what, when and from where. Written once: the database refuses to change or delete a row.

    Who and what are kept as text, since both may be gone when somebody asks. Without a tenant it is support's alone.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(  # type: ignore[assignment]
        "integrations.Tenant", verbose_name=_("tenant"), null=True, on_delete=models.CASCADE, related_name="+"
    )
    at = models.DateTimeField(_("when"), db_default=Now())
    user_id = models.BigIntegerField(_("user"), null=True)
    who = models.CharField(_("who"), max_length=150)
    action = models.CharField(_("what"), max_length=40)
    kind = models.CharField(_("kind of object"), max_length=80, default="", db_default="")
    object_id = models.CharField(_("id of the object"), max_length=80, default="", db_default="")
    about = models.CharField(_("object"), max_length=200, default="", db_default="")
    details = models.TextField(_("details"), default="", db_default="")
    address = models.GenericIPAddressField(_("from where"), null=True)

    class Meta:
        db_table = "audit_entries"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="audit_newest"),
            models.Index(fields=["tenant", "who", "-id"], name="audit_of_person"),
            models.Index(fields=["object_id", "-id"], name="audit_of_object"),
        ]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{short(self.at)} {self.who}: {self.action}"
