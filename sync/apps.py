from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = _("Sync")

    def ready(self) -> None:
        from integrations.storing import account_replaced
        from sync import fetching, handlers, inbox, outbox, pulling, replacing, schedules, upkeep

        handlers.register(pulling.KIND, pulling.PullHandler())
        handlers.register(inbox.KIND, fetching.FetchHandler())
        handlers.register(outbox.KIND, outbox.PushHandler())
        handlers.register(upkeep.FIELDS, upkeep.FieldsHandler())
        handlers.register(upkeep.RIGHTS, upkeep.RightsHandler())
        account_replaced.connect(replacing.forget, dispatch_uid="sync_account_replaced")
        post_migrate.connect(
            lambda using="default", **_: schedules.install(using),
            sender=apps.get_app_config("django_q"),
            dispatch_uid="dialbridge_schedules",
            weak=False,
        )
