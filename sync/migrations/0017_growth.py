from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """What lists of millions of rows are read by: the newest of a tenant, and of all tenants for support."""

    atomic = False

    dependencies: ClassVar = [("sync", "0016_operating")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "contact",
            models.Index(
                fields=["tenant", "last_name", "first_name", "id"],
                name="contact_not_to_call",
                condition=models.Q(do_not_call=True),
            ),
        ),
        AddIndexConcurrently(
            "syncrun", models.Index(fields=["tenant", "-started_at", "-id"], name="run_newest_of_tenant")
        ),
        AddIndexConcurrently("syncrun", models.Index(fields=["-started_at", "-id"], name="run_newest_of_all")),
        AddIndexConcurrently(
            "syncjob",
            models.Index(fields=["tenant", "-id"], name="job_dead_newest", condition=models.Q(state="dead")),
        ),
        AddIndexConcurrently(
            "syncjob", models.Index(fields=["-id"], name="job_dead_of_all", condition=models.Q(state="dead"))
        ),
    ]
