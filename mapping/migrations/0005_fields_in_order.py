from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The list of all tenants' CRM fields, in its order."""

    atomic = False

    dependencies: ClassVar = [("mapping", "0004_editor")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "crmfield", models.Index(fields=["object_type", "label", "id"], name="crm_field_by_label")
        ),
    ]
