from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Dialbridge"

    def ready(self) -> None:
        from config import roles

        post_migrate.connect(roles.create, dispatch_uid="dialbridge_roles")
