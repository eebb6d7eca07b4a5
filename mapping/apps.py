from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MappingConfig(AppConfig):
    name = "mapping"
    verbose_name = _("Mapping")

    def ready(self) -> None:
        from integrations.connecting import connected

        connected.connect(_on_connected, dispatch_uid="mapping_defaults")


def _on_connected(connection: Any, provider: Any, **_: Any) -> None:
    from mapping import discovery, publishing

    discovery.refresh(connection, provider)
    publishing.add_defaults(connection)
