from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = _("Setup")

    def ready(self) -> None:
        from integrations import audit, tenancy, tracing

        audit.listen()
        if tenancy.traced not in tracing.SOURCES:
            tracing.SOURCES.append(tenancy.traced)
