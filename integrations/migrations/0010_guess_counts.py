from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("integrations", "0009_operating")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="GuessCount",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("failures", models.IntegerField()),
                ("last_at", models.DateTimeField(db_index=True)),
                ("wait_until", models.DateTimeField(null=True)),
            ],
            options={"db_table": "guess_counts"},
        ),
    ]
