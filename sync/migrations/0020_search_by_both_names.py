from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):
    """Both names are searched by their beginnings in one index, and links that need somebody are counted in one."""

    atomic = False

    dependencies: ClassVar = [("sync", "0019_quicker_names")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "contact",
            models.Index(
                "tenant",
                OpClass(Upper("last_name"), name="text_pattern_ops"),
                OpClass(Upper("first_name"), name="text_pattern_ops"),
                name="contact_names_search",
            ),
        ),
        RemoveIndexConcurrently("contact", "contact_last_name_search"),
        AddIndexConcurrently(
            "syncrecord",
            models.Index(
                fields=["connection", "sync_status", "tenant"],
                include=["local_table"],
                name="link_unsettled",
                condition=models.Q(sync_status__in=["pending", "error"]),
            ),
        ),
    ]
