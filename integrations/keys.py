"""What becomes of API keys after they are made: rotation, revocation, and what each is used for."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Func, JSONField, Value
from django.db.models.functions import Now
from django.utils import timezone

from integrations import kept, tenancy
from integrations.models import ApiKey

USE_PRECISION = timedelta(minutes=5)
"""So often, at most, a use is written down: a key may sign thousands of requests a minute."""


def rotate(key: ApiKey, hours: int) -> tuple[ApiKey, str]:
    """A new key of the same name and its text; the old one works for so many hours more."""
    until = timezone.now() + timedelta(hours=hours)
    with transaction.atomic():
        made, text = ApiKey.issue(key.tenant, key.name)
        sooner = key.expires_at is None or key.expires_at > until
        ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(expires_at=until if sooner else key.expires_at)
    kept.forget()
    return made, text


def revoke(keys: Iterable[ApiKey]) -> int:
    """How many were good until now."""
    revoked = ApiKey.objects.filter(pk__in=[key.pk for key in keys], revoked_at=None).update(revoked_at=Now())
    kept.forget()
    return revoked


def note_use(key: ApiKey, what: str) -> None:
    """`what` is a method with the pattern of an address, so there are few of them."""
    now = timezone.now()
    seen = key.uses.get(what)
    if seen and key.last_used_at and now - max(key.last_used_at, datetime.fromisoformat(seen)) <= USE_PRECISION:
        return
    with tenancy.everyone():
        added = Value({what: now.isoformat()}, output_field=JSONField())
        ApiKey.objects.filter(pk=key.pk).update(
            last_used_at=now, uses=Func(F("uses"), added, template="(%(expressions)s)", arg_joiner=" || ")
        )
    key.last_used_at, key.uses = now, {**key.uses, what: now.isoformat()}
