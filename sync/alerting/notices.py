"""Who is to hear of an alert: a row for each address, stored in the transaction that opens or ends the alert.

People are told once that it is open and once that it is over. An alert that came back is told of again only after it has lasted
(see `kinds`), as another episode.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q

from integrations.access import SUPPORT, TENANT_ADMIN
from integrations.models import Membership
from sync.bulk import upsert
from sync.models import Alert, AlertDelivery, AlertSettings

Event, Channel, Told = AlertDelivery.Event, AlertDelivery.Channel, Alert.Told


def store_due(now: datetime) -> None:
    """For all alerts that opened, lasted or ended since somebody looked last."""
    due = Q(resolved_at=None, opened_at__isnull=False) & (Q(quiet_until=None) | Q(quiet_until__lte=now))
    opened = list(Alert.objects.filter(due).exclude(told=Told.OPENED))
    resolved = list(Alert.objects.filter(told=Told.OPENED, resolved_at__isnull=False))
    if not opened and not resolved:
        return
    for row in opened:
        row.told, row.episode = Told.OPENED, row.episode + 1
    for row in resolved:
        row.told = Told.RESOLVED
    upsert(Alert, [*opened, *resolved], ["told", "episode"])
    targets = targets_of([*opened, *resolved])
    rows = [_row(one, Event.OPENED, *to) for one in opened for to in targets[one.pk]]
    rows += [_row(one, Event.RESOLVED, *to) for one in resolved for to in targets[one.pk]]
    AlertDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def _row(alert: Alert, event: str, channel: str, target: str) -> AlertDelivery:
    return AlertDelivery(
        tenant_id=alert.tenant_id,
        alert=alert,
        episode=alert.episode,
        event=event,
        channel=channel,
        target=target,
    )


Target = tuple[str, str]
"""Channel and address."""


def targets_of(alerts: Sequence[Alert]) -> dict[int, list[Target]]:
    """By alert; nobody for kinds that the tenant wants to hear nothing of."""
    tenants = {row.tenant_id for row in alerts if row.tenant_id}
    kept: dict[UUID, AlertSettings] = {row.tenant_id: row for row in settings_of(tenants)}
    admins = admins_of(tenants)
    site = _staff() if any(row.tenant_id is None for row in alerts) else []
    found: dict[int, list[Target]] = {}
    for row in alerts:
        if row.tenant_id is None:
            found[row.pk] = [(Channel.MAIL, one) for one in site]
        else:
            own = kept.get(row.tenant_id) or AlertSettings()
            found[row.pk] = [] if row.kind in own.quiet_kinds else addresses(own, admins[row.tenant_id])
    return found


def addresses(own: AlertSettings, admins: Sequence[str]) -> list[Target]:
    """Everybody whom these settings name, each once."""
    people = [*(admins if own.mail_admins else ()), *own.mail_to]
    by_mail = {one.lower(): one for one in reversed(people)}
    mails: list[Target] = [(Channel.MAIL, one) for one in by_mail.values()]
    return [*mails, (Channel.WEBHOOK, own.webhook_url)] if own.webhook_url else mails


def settings_of(tenants: set[UUID]) -> Any:
    return AlertSettings.objects.filter(tenant__in=tenants).defer("webhook_secret")


def admins_of(tenants: set[UUID]) -> dict[UUID, list[str]]:
    """The e-mail addresses of the tenants' admins."""
    found: dict[UUID, list[str]] = defaultdict(list)
    rows = Membership.objects.filter(tenant__in=tenants, user__is_active=True, user__groups__name=TENANT_ADMIN)
    rows = rows.exclude(user__email="").order_by("user__email").distinct()
    for tenant_id, email in rows.values_list("tenant_id", "user__email") if tenants else ():
        found[tenant_id].append(email)
    return found


def _staff() -> list[str]:
    """Who looks after the whole site."""
    people = get_user_model().objects.filter(Q(is_superuser=True) | Q(groups__name=SUPPORT), is_active=True)
    return list(people.exclude(email="").order_by("email").values_list("email", flat=True).distinct())
