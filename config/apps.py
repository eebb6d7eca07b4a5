from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate, pre_migrate


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Dialbridge"

    def ready(self) -> None:
        from config import choice_names, migrating, roles, theme_lists, theme_selects
        from integrations import row_security

        choice_names.be_quick()
        theme_lists.be_quick()
        theme_selects.be_quick()
        pre_migrate.connect(migrating.be_brief, dispatch_uid="dialbridge_brief_migrations")
        post_migrate.connect(migrating.be_patient, dispatch_uid="dialbridge_patience_again")
        post_migrate.connect(roles.create, dispatch_uid="dialbridge_roles")
        post_migrate.connect(row_security.protect, dispatch_uid="dialbridge_row_security")


class AdminPages(AdminConfig):
    default_site = "config.admin_site.Site"
