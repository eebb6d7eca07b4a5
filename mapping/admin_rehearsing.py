"""The way from the mapping's pages to the page on which a rehearsal begins, which belongs to the app above."""

from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from integrations.models import CrmConnection

REHEARSE = "admin:sync_rehearsal_add"
MAY_REHEARSE = "sync.add_rehearsal"


def rehearsal_of(tenant_id: UUID, provider: str = "", **start: object) -> str:
    """Where a rehearsal begins with the tenant's connection to this CRM, or to any, chosen already."""
    rows = CrmConnection.objects.filter(tenant_id=tenant_id).order_by("status", "provider")
    chosen = (rows.filter(provider=provider) if provider else rows).values_list("pk", flat=True).first()
    return f"{reverse(REHEARSE)}?{urlencode({**({'connection': chosen} if chosen else {}), **start})}"
