from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar = [("integrations", "0008_row_security")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="apiusage",
            name="statuses",
            field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="by answer"),
        ),
        AddIndexConcurrently(
            model_name="apiusage",
            index=models.Index(fields=["hour"], name="usage_by_hour"),
        ),
    ]
