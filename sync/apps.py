from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate, post_save
from django.utils.translation import gettext_lazy as _


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = _("Sync")

    def ready(self) -> None:
        from integrations.storing import account_replaced
        from mapping.models import MappingVersion
        from sync import (
            backfilling,
            erasing,
            fetching,
            giving_back,
            handlers,
            inbox,
            outbox,
            promoting,
            pulling,
            pushes,
            reconciling,
            rehearsing,
            replacing,
            replaying,
            schedules,
            sync_now,
            upkeep,
            wizard_jobs,
        )
        from sync.undoing import steps, undos

        handlers.register(pulling.KIND, pulling.PullHandler())
        handlers.register(inbox.KIND, fetching.FetchHandler())
        handlers.register(pushes.KIND, outbox.PushHandler())
        handlers.register(outbox.RESULTS, outbox.ResultsHandler())
        handlers.register(sync_now.KIND, sync_now.SyncNowHandler())
        handlers.register(backfilling.KIND, backfilling.BackfillHandler())
        handlers.register(reconciling.KIND, reconciling.ReconcileHandler())
        handlers.register(giving_back.KIND, giving_back.GiveBackHandler())
        handlers.register(replaying.KIND, replaying.ReplayHandler())
        handlers.register(rehearsing.KIND, rehearsing.RehearseHandler())
        handlers.register(promoting.KIND, promoting.ReapplyHandler())
        handlers.register(undos.KIND, steps.UndoHandler())
        handlers.register(upkeep.FIELDS, upkeep.FieldsHandler())
        handlers.register(upkeep.RIGHTS, upkeep.RightsHandler())
        handlers.register(wizard_jobs.LOOK, wizard_jobs.LookHandler())
        handlers.register(wizard_jobs.PREPARE, wizard_jobs.PrepareHandler())
        post_save.connect(backfilling.on_published, sender=MappingVersion, dispatch_uid="backfill_new_fields")
        erasing.contacts_erased.connect(rehearsing.forget_people, dispatch_uid="rehearsals_forget_people")
        erasing.contacts_erased.connect(giving_back.forget_people, dispatch_uid="giving_back_forgets_people")
        erasing.contacts_erased.connect(undos.forget_people, dispatch_uid="undos_forget_people")
        account_replaced.connect(replacing.forget, dispatch_uid="sync_account_replaced")
        post_migrate.connect(
            lambda using="default", **_: schedules.install(using),
            sender=apps.get_app_config("django_q"),
            dispatch_uid="dialbridge_schedules",
            weak=False,
        )
