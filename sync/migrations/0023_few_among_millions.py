from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.fields.json import KeyTransform

ORDER = ["tenant", "crm_provider", "crm_object_type", "crm_record_id"]


class Migration(migrations.Migration):
    """What is rare among millions is found without reading them: contacts that were deleted, and links that wait for a decision,
    go from us to the CRM, or let go of their contact."""

    atomic = False

    dependencies: ClassVar = [("sync", "0022_lighter_inbox")]
    operations: ClassVar = [
        AddIndexConcurrently(
            "contact",
            models.Index(
                fields=["tenant", "last_name", "first_name", "id"],
                name="contact_deleted",
                condition=models.Q(deleted_at__isnull=False),
            ),
        ),
        AddIndexConcurrently(
            "syncrecord",
            models.Index(fields=ORDER, name="link_in_conflict", condition=models.Q(sync_status="conflict")),
        ),
        AddIndexConcurrently(
            "syncrecord",
            models.Index(fields=ORDER, name="link_outbound", condition=models.Q(sync_direction="outbound")),
        ),
        AddIndexConcurrently(
            "syncrecord",
            models.Index(
                KeyTransform("contact", "metadata"),
                name="link_that_let_go",
                condition=models.Q(metadata__has_key="contact"),
            ),
        ),
    ]
