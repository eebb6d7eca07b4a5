from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """A cause can be silenced for a while, or until more of it fails."""

    dependencies: ClassVar = [("sync", "0017_growth")]
    operations: ClassVar = [
        migrations.AddField(
            "failurecause", "snoozed_until", models.DateTimeField(null=True, verbose_name="silenced until")
        ),
        migrations.AddField(
            "failurecause",
            "snoozed_above",
            models.PositiveBigIntegerField(null=True, verbose_name="silenced up to so many failures"),
        ),
        migrations.AddField(
            "failurecause",
            "snoozed_by",
            models.CharField(blank=True, db_default="", default="", max_length=200, verbose_name="silenced by"),
        ),
        migrations.AlterField(
            "failureaction",
            "what",
            models.CharField(
                choices=[
                    ("try", "One was tried again"),
                    ("replay", "All were tried again"),
                    ("dismiss", "Dismissed"),
                    ("snooze", "Snoozed"),
                    ("wake", "Snooze ended"),
                ],
                max_length=10,
                verbose_name="what",
            ),
        ),
    ]
