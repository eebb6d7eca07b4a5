"""A person's newest call by index alone, also where many calls began at the same moment. Built beside a live system."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("activities", "0003_retention")]

    operations = [
        AddIndexConcurrently(
            "call", models.Index(fields=["contact", "-started_at", "-created_at"], name="newest_call_of_contact")
        ),
        RemoveIndexConcurrently("call", "call_of_contact"),
    ]
