from typing import Any

import pytest
from rest_framework.test import APIClient

from integrations import tenancy
from integrations.models import CrmConnection
from sync.models import Contact, SyncRecord


@pytest.fixture
def client(api_key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    return client


@pytest.fixture
def contact(connection: CrmConnection) -> Contact:
    """A contact that is record 7 of the fake CRM."""
    with tenancy.everyone():
        person: Contact = Contact.objects.create(
            tenant=connection.tenant, first_name="Ann", email="ann@example.com", phone="+14155550101"
        )
        link(connection, person, "7")
    return person


def link(connection: CrmConnection, person: Contact, record_id: str) -> None:
    SyncRecord.objects.create(
        tenant=connection.tenant,
        connection=connection,
        crm_provider=connection.provider,
        crm_object_type="people",
        crm_record_id=record_id,
        local_record_id=person.pk,
        local_table="contacts",
        sync_direction="inbound",
        sync_status="synced",
    )


@pytest.fixture
def body() -> dict[str, Any]:
    return {
        "external_id": "d-1",
        "provider": "fakecrm",
        "crm_record_id": "7",
        "direction": "outbound",
        "duration_seconds": 342,
        "started_at": "2026-01-21T14:30:00Z",
        "disposition": "Connected",
        "notes": "Wants a demo <soon> & cheap",
        "key_points": ["Budget confirmed"],
        "metadata": {"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38},
    }
