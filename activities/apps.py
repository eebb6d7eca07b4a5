from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save
from django.utils.translation import gettext_lazy as _


class ActivitiesConfig(AppConfig):
    name = "activities"
    verbose_name = _("Dialing")

    def ready(self) -> None:
        from activities import advice, agents, delivering, retention
        from activities.agreements import BookMeetings, SetFollowUps
        from activities.booking import FOLLOW_UP, MEETING
        from activities.dialer_webhooks import tell_of_do_not_call, tell_of_jobs
        from activities.forgetting import forget
        from activities.reviews import log_what_waited
        from activities.summary_notes import NOTE, WriteNotes
        from activities.targets import KIND
        from activities.writer import LogCalls
        from integrations.connecting import connected
        from mapping.models import CrmObject
        from sync import handlers, health, schedules
        from sync.barred import do_not_call_changed
        from sync.erasing import contacts_erased
        from sync.linked import contacts_linked
        from sync.queue import jobs_ended

        handlers.register(KIND, LogCalls(), lasting=True)
        handlers.register(MEETING, BookMeetings(), lasting=True)
        handlers.register(FOLLOW_UP, SetFollowUps(), lasting=True)
        handlers.register(NOTE, WriteNotes(), lasting=True, hurried=True)
        handlers.register(agents.KIND, agents.ReadAgents())
        if advice.notices not in health.ADVISERS:
            health.ADVISERS.append(advice.notices)
        contacts_erased.connect(forget, dispatch_uid="calls_of_the_erased")
        contacts_linked.connect(log_what_waited, dispatch_uid="calls_of_the_linked")
        jobs_ended.connect(tell_of_jobs, dispatch_uid="dialer_of_jobs")
        do_not_call_changed.connect(tell_of_do_not_call, dispatch_uid="dialer_of_do_not_call")
        schedules.SCHEDULES.update(delivering.SCHEDULES)
        schedules.SCHEDULES.update(retention.SCHEDULES)
        schedules.SCHEDULES.update({**agents.SCHEDULES, **advice.SCHEDULES})
        agents.read.connect(advice.on_agents_read, dispatch_uid="advice_of_agents")
        post_save.connect(advice.on_fields_read, sender=CrmObject, dispatch_uid="advice_of_fields")
        connected.connect(_on_connected, dispatch_uid="disposition_defaults")


def _on_connected(connection: Any, provider: Any, **_: Any) -> None:
    from activities.dispositions import add_defaults

    add_defaults(connection, provider)
