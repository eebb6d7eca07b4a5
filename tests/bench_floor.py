"""The floor of the admin's pages: Django's own admin, with its own templates, for the same rows behind the same middleware."""

from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import ForeignKey
from django.urls import path

from sync.models import Contact, InboxEvent, SyncJob, SyncRun

COLUMNS = 8
_OURS: dict[str, Any] = dict(settings.TEMPLATES[0])
TEMPLATES: list[dict[str, Any]] = [
    {
        **_OURS,
        "DIRS": [Path(django.__file__).parent / "contrib" / "admin" / "templates"],
        "OPTIONS": {
            **_OURS["OPTIONS"],
            "loaders": [("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"])],
        },
    }
]
site = AdminSite(name="admin")
for model in (Contact, SyncJob, InboxEvent, SyncRun):
    links = [field.name for field in model._meta.fields if isinstance(field, ForeignKey)]
    shown = [field.name for field in model._meta.fields if field.name not in links][:COLUMNS]
    options = {"list_per_page": 50, "list_display": shown, "raw_id_fields": links, "show_full_result_count": False}
    site.register(model, type("Plain", (ModelAdmin,), options))
urlpatterns = [path("admin/", site.urls)]
