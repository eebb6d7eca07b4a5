"""The audit log: who did what to what, when and from where.

The admin's own notes (`log_addition`, `log_change`, `log_deletions` of every page) come here by themselves, log-ins too; what a
button does besides is noted with `note`. Nothing that a person typed is kept except the names of what was set up here: a
contact or a call is named by its id alone, so that erasing a person leaves nothing of them in a log that can't be changed.
"""

import ipaddress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.http import HttpRequest

from integrations import tenancy
from integrations.models import AuditEntry, Membership, Tenant
from integrations.redaction import redact

NAMED = frozenset({"integrations", "mapping", "auth", "django_q"})
"""Apps whose objects are named: what was set up here. The others hold people."""
LONGEST_DETAILS = 2000
ADDED, CHANGED, DELETED = "added", "changed", "deleted"
LOGGED_IN, LOGGED_OUT, LOGIN_FAILED, SLOWED_DOWN = "logged in", "logged out", "log-in failed", "log-in slowed down"
INVITED, JOINED, WITHDRAWN, RESENT = "invited", "joined", "invitation withdrawn", "invitation sent again"
ROLE_CHANGED, LET_BACK, SUSPENDED, REMOVED = "role changed", "let back in", "suspended", "removed"
KEY_ROTATED, EXPORTED, PASSWORD_RESET = "key rotated", "exported", "password reset"
PERSON_ERASED = "person erased"
PLAIN = (ADDED, CHANGED, DELETED, LOGGED_IN, LOGGED_OUT, LOGIN_FAILED, INVITED, JOINED, WITHDRAWN, RESENT, ROLE_CHANGED,
         LET_BACK, SUSPENDED, REMOVED, KEY_ROTATED, EXPORTED, PASSWORD_RESET, SLOWED_DOWN, PERSON_ERASED)  # fmt: skip


def note(
    request: HttpRequest | None,
    action: str,
    row: Model | None = None,
    details: str = "",
    *,
    tenant_id: UUID | None = None,
    user: Any = None,
) -> None:
    """Adds an entry. The tenant is the row's own unless it is named; without either it is seen by support alone."""
    person: Any = user or getattr(request, "user", None)
    known = bool(person and person.is_authenticated)
    with tenancy.everyone():
        AuditEntry.objects.create(
            tenant_id=tenant_id or tenant_of(row),
            user_id=person.pk if known else None,
            who=person.get_username() if known else "",
            action=action[:40],
            kind=row._meta.label_lower if row is not None else "",
            object_id=str(row.pk)[:80] if row is not None and row.pk is not None else "",
            about=_name(row),
            details=redact(details)[:LONGEST_DETAILS],
            address=address_of(request) if request is not None else None,
        )


def tenant_of(row: Any) -> UUID | None:
    """Whose row it is: its own tenant, or that of its connection."""
    if row is None:
        return None
    if isinstance(row, Tenant):
        return row.pk
    found: UUID | None = getattr(row, "tenant_id", None)
    if found is None and getattr(row, "connection_id", None):
        found = row.connection.tenant_id
    return found


def address_of(request: HttpRequest) -> str | None:
    """Where a request comes from; behind a proxy of ours, what the proxy says, which is the last of the list."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    text = (forwarded.rpartition(",")[2] or request.META.get("REMOTE_ADDR", "")).strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def listen() -> None:
    """Has log-ins noted. Somebody of several tenants is noted in each."""
    user_logged_in.connect(_logged_in, dispatch_uid="audit_in")
    user_logged_out.connect(_logged_out, dispatch_uid="audit_out")
    user_login_failed.connect(_failed, dispatch_uid="audit_failed")


def _logged_in(request: Any, user: Any, **_: Any) -> None:
    _note_person(request, LOGGED_IN, user)


def _logged_out(request: Any, user: Any, **_: Any) -> None:
    if user is not None:
        _note_person(request, LOGGED_OUT, user)


def _failed(credentials: Any, request: Any = None, **_: Any) -> None:
    _note_name(request, LOGIN_FAILED, str(credentials.get("username") or ""))


def note_guessing(request: HttpRequest, name: str, seconds: float) -> None:
    """Somebody guesses at a password, and has to wait for so long before each further try."""
    _note_name(request, SLOWED_DOWN, name, f"After many failures, the next try from there waits {seconds:.0f} seconds.")


def _note_name(request: Any, action: str, name: str, details: str = "") -> None:
    """A name that nobody has is not kept: people type passwords where names belong."""
    user = get_user_model().objects.filter(username=name).first() if "\x00" not in name else None
    if user is None:
        note(request, action, details=details)
    else:
        _note_person(request, action, user, details)


def _note_person(request: Any, action: str, user: Any, details: str = "") -> None:
    with tenancy.everyone():
        tenants: list[UUID | None] = list(Membership.objects.filter(user=user).values_list("tenant_id", flat=True))
    for tenant_id in tenants or [None]:
        note(request, action, details=details, tenant_id=tenant_id, user=user)


def _name(row: Model | None) -> str:
    return str(row)[:200] if row is not None and row._meta.app_label in NAMED else ""
