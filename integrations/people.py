"""The people of a tenant: inviting them, their roles, and letting them go.

Nobody gives more than they have, changes themselves by accident, or takes a tenant its last admin. An invitation's link is
signed, good for a week and once; nothing in the database is enough to make one. Whether somebody has an account already is
told to nobody: the same happens for an address that is known and for one that isn't.
"""

import logging
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core import signing
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import tenancy
from integrations.access import TENANT_ADMIN, VIEWER, is_support, may_change_in
from integrations.models import Invitation, Membership, Role, Tenant
from integrations.people_models import new_nonce

log = logging.getLogger("dialbridge.people")

GOOD_FOR = timedelta(days=7)
SALT = "dialbridge.invitation"


class NotAllowed(Exception):
    """What was asked for isn't done; the text says why, for the person who asked."""


# --- invitations ----------------------------------------------------------------------------------------------------


def invite(by: Any, tenant: Tenant, email: str, role: str) -> Invitation:
    """An open invitation; an older one for the same address is replaced. Raises NotAllowed."""
    if not may_change_in(by, tenant.pk):
        raise NotAllowed(_("Only an admin of this tenant can invite people."))
    with transaction.atomic():
        open_ones = Invitation.objects.filter(tenant=tenant, email=email.lower(), accepted_at=None, revoked_at=None)
        open_ones.update(revoked_at=Now())
        made: Invitation = Invitation.objects.create(
            tenant=tenant, email=email.lower(), role=role, invited_by=by, expires_at=timezone.now() + GOOD_FOR
        )
    return made


def renew(invitation: Invitation) -> None:
    """Another week, with another link; the older link is worth nothing any more. Raises NotAllowed when it is over."""
    if invitation.accepted_at or invitation.revoked_at:
        raise NotAllowed(_("This invitation is over. Invite the person anew."))
    invitation.nonce, invitation.expires_at = new_nonce(), timezone.now() + GOOD_FOR
    invitation.save(update_fields=["nonce", "expires_at"])


def withdraw(invitation: Invitation) -> bool:
    """Whether it was open until now."""
    open_one = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    return bool(open_one.update(revoked_at=Now()))


def link_of(invitation: Invitation) -> str:
    token = signing.dumps([invitation.pk, invitation.nonce], salt=SALT)
    return settings.PUBLIC_URL + reverse("join", args=[token])


def send(invitation: Invitation) -> bool:
    """By e-mail. False when that failed: then somebody has to pass the link on."""
    facts = {"tenant": invitation.tenant, "link": link_of(invitation), "invitation": invitation}
    try:
        send_mail(
            _("Your invitation to %(tenant)s") % {"tenant": invitation.tenant},
            render_to_string("people/invitation.txt", facts),
            None,
            [invitation.email],
        )
    except (OSError, SMTPException) as error:
        log.warning("An invitation could not be sent: %s", type(error).__name__)
        return False
    Invitation.objects.filter(pk=invitation.pk).update(sent_at=Now())
    return True


def opened(token: str) -> Invitation | None:
    """The invitation of a link, as long as it is good."""
    try:
        pk, nonce = signing.loads(token, salt=SALT, max_age=GOOD_FOR)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    with tenancy.everyone():
        found: Invitation | None = (
            Invitation.objects.select_related("tenant", "invited_by")
            .filter(pk=pk, nonce=nonce, accepted_at=None, revoked_at=None, expires_at__gt=Now(), tenant__is_active=True)
            .first()
        )
    return found


def account_of(invitation: Invitation) -> User | None:
    """Who has this address already."""
    same = Q(username__iexact=invitation.email) | Q(email__iexact=invitation.email)
    return User.objects.filter(same, is_active=True).order_by("-last_login", "pk").first()


def accept(invitation: Invitation, user: User | None, password: str = "") -> User:
    """Uses the invitation up and lets the person in, with a new account if there is none. Raises NotAllowed if it is used."""
    with tenancy.everyone(), transaction.atomic():
        open_one = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
        if not open_one.update(accepted_at=Now()):
            raise NotAllowed(_("This invitation was used before."))
        if user is None:
            user = User.objects.create_user(invitation.email, invitation.email, password, is_staff=True)
        membership, created = Membership.objects.get_or_create(
            tenant=invitation.tenant, user=user, defaults={"role": invitation.role}
        )
        if not created and (not membership.is_active or invitation.role == Role.ADMIN):
            membership.role, membership.is_active = invitation.role, True
            membership.save(update_fields=["role", "is_active"])
        settle(user)
    return user


# --- members --------------------------------------------------------------------------------------------------------


def change_role(by: Any, membership: Membership, role: str) -> None:
    """Raises NotAllowed."""
    with _Guarded(by, membership, loses=role != Role.ADMIN):
        Membership.objects.filter(pk=membership.pk).update(role=role)


def suspend(by: Any, membership: Membership) -> None:
    """The person sees nothing of the tenant until they are let back in. Raises NotAllowed."""
    with _Guarded(by, membership, loses=True):
        Membership.objects.filter(pk=membership.pk).update(is_active=False)


def let_back(by: Any, membership: Membership) -> None:
    """Raises NotAllowed."""
    with _Guarded(by, membership, loses=False):
        Membership.objects.filter(pk=membership.pk).update(is_active=True)


def remove(by: Any, membership: Membership) -> None:
    """The account stays: it may belong to other tenants. Raises NotAllowed."""
    with _Guarded(by, membership, loses=True):
        Membership.objects.filter(pk=membership.pk).delete()


class _Guarded:
    """Checks, changes and settles in one transaction, with the tenant's members locked: two admins can't remove each other."""

    def __init__(self, by: Any, membership: Membership, *, loses: bool) -> None:
        self.by, self.membership, self.loses = by, membership, loses
        self.work = transaction.atomic()

    def __enter__(self) -> None:
        self.work.__enter__()
        try:
            self._check()
        except NotAllowed as refusal:
            self.work.__exit__(NotAllowed, refusal, None)
            raise

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            settle(self.membership.user)
        self.work.__exit__(*error)

    def _check(self) -> None:
        one, by = self.membership, self.by
        others = list(Membership.objects.select_for_update().filter(tenant_id=one.tenant_id).order_by("pk"))
        if not may_change_in(by, one.tenant_id):
            raise NotAllowed(_("Only an admin of this tenant can do this."))
        if one.user_id == by.pk and not by.is_superuser:
            raise NotAllowed(_("This is you. Ask another admin, so that nobody locks themselves out by accident."))
        if (one.user.is_superuser and not by.is_superuser) or (is_support(one.user) and not is_support(by)):
            raise NotAllowed(_("This person may do more than you. Only somebody who may do as much can change this."))
        admins = [other.pk for other in others if other.role == Role.ADMIN and other.is_active]
        if self.loses and admins == [one.pk]:
            raise NotAllowed(_("This is the last admin of the tenant. Make somebody else an admin first."))


def settle(user: User) -> None:
    """Gives the person the groups of their roles: admin if they are one anywhere, else viewer. Other groups stay."""
    with tenancy.everyone():
        roles = set(Membership.objects.filter(user=user, is_active=True).values_list("role", flat=True))
    wanted = TENANT_ADMIN if Role.ADMIN in roles else VIEWER if roles else ""
    user.groups.remove(*Group.objects.filter(name__in={TENANT_ADMIN, VIEWER} - {wanted}))
    user.groups.add(*Group.objects.filter(name=wanted))
