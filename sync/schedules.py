"""The clock work, installed by every `migrate` and never doubled."""

from typing import Any

SCHEDULES: dict[str, dict[str, Any]] = {
    "Find lost wake-ups": {"func": "sync.tasks.sweep", "schedule_type": "I", "minutes": 1},
    "Catch up with the CRMs": {"func": "sync.tasks.catch_up", "schedule_type": "I", "minutes": 5},
    "Look at the CRMs' fields": {"func": "sync.tasks.read_fields", "schedule_type": "H"},
    "Check the CRMs' permissions": {"func": "sync.tasks.check_rights", "schedule_type": "D"},
    "Tidy up": {"func": "sync.tasks.tidy", "schedule_type": "D"},
}


def install(using: str = "default", **_: Any) -> None:
    """A schedule that somebody changed in the admin keeps its changes."""
    from django_q.models import Schedule

    for name, values in SCHEDULES.items():
        Schedule.objects.using(using).get_or_create(name=name, defaults=values)
