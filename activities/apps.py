from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ActivitiesConfig(AppConfig):
    name = "activities"
    verbose_name = _("Dialing")

    def ready(self) -> None:
        from activities.forgetting import forget
        from activities.targets import KIND
        from activities.writer import LogCalls
        from integrations.connecting import connected
        from sync import handlers
        from sync.erasing import contacts_erased

        handlers.register(KIND, LogCalls())
        contacts_erased.connect(forget, dispatch_uid="calls_of_the_erased")
        connected.connect(_on_connected, dispatch_uid="disposition_defaults")


def _on_connected(connection: Any, provider: Any, **_: Any) -> None:
    from activities.dispositions import add_defaults

    add_defaults(connection, provider)
