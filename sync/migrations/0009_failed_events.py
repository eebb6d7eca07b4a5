from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0008_rehearsals")]

    operations = [
        AddIndexConcurrently(
            "inboxevent",
            models.Index(fields=["connection"], name="inbox_failed", condition=models.Q(state="failed")),
        ),
    ]
