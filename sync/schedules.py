"""The clock work, installed by every `migrate` and never doubled."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone


def next_night() -> datetime:
    """When few people work; a schedule of every day then keeps the hour."""
    now = timezone.now()
    night = now.replace(hour=2, minute=17, second=0, microsecond=0)
    return night if night > now else night + timedelta(days=1)


SCHEDULES: dict[str, dict[str, Any]] = {
    "Watch over the connections": {"func": "sync.alerting.watching.minute", "schedule_type": "I", "minutes": 1},
    "Find lost wake-ups": {"func": "sync.tasks.sweep", "schedule_type": "I", "minutes": 1},
    "Catch up with the CRMs": {"func": "sync.tasks.catch_up", "schedule_type": "I", "minutes": 5},
    "Compare with the CRMs": {"func": "sync.tasks.reconcile", "schedule_type": "D", "next_run": next_night},
    "Look at the CRMs' fields": {"func": "sync.tasks.read_fields", "schedule_type": "H"},
    "Check the CRMs' permissions": {"func": "sync.tasks.check_rights", "schedule_type": "D"},
    "Tidy up": {"func": "sync.tasks.tidy", "schedule_type": "D"},
}


def install(using: str = "default", **_: Any) -> None:
    """A schedule that somebody changed in the admin keeps its changes."""
    from django_q.models import Schedule

    for name, values in SCHEDULES.items():
        Schedule.objects.using(using).get_or_create(name=name, defaults=values)
