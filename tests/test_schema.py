"""The three tables that other programs may read keep their names, columns, defaults, uniqueness and index."""

import pytest
from django.db import IntegrityError, connection

from integrations.models import Tenant

COLUMNS = {
    "crm_credentials": """
        id tenant_id provider access_token refresh_token instance_url token_expires_at scopes metadata created_at updated_at
    """,
    "crm_sync_records": """
        id tenant_id crm_provider crm_object_type crm_record_id local_record_id local_table sync_direction sync_status
        last_synced_at last_crm_modified_at last_local_modified_at error_message retry_count metadata created_at updated_at
    """,
    "field_mappings": """
        id tenant_id crm_provider sync_direction dialer_entity dialer_field crm_object crm_field transform_rule
        custom_transform is_required is_active created_at updated_at
    """,
}
INSERTS = {
    "crm_credentials": "INSERT INTO crm_credentials (tenant_id, provider, access_token) VALUES (%s, 'hubspot', 'x')",
    "crm_sync_records": """
        INSERT INTO crm_sync_records
            (tenant_id, crm_provider, crm_object_type, crm_record_id, local_table, sync_direction)
        VALUES (%s, 'hubspot', 'contacts', '1', 'contacts', 'inbound')
    """,
    "field_mappings": """
        INSERT INTO field_mappings
            (tenant_id, crm_provider, sync_direction, dialer_entity, dialer_field, crm_object, crm_field)
        VALUES (%s, 'hubspot', 'inbound', 'contact', 'email', 'contacts', 'email')
    """,
}


@pytest.mark.parametrize("table", COLUMNS)
def test_the_columns_are_there(db: None, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
        found = {row[0] for row in cursor.fetchall()}
    assert set(COLUMNS[table].split()) <= found


@pytest.mark.parametrize("table", INSERTS)
def test_a_row_needs_only_what_has_no_default_and_comes_only_once(tenant: Tenant, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(INSERTS[table], [tenant.pk])
        cursor.execute(f"SELECT id, created_at, updated_at FROM {table}")
        assert None not in cursor.fetchone()
        with pytest.raises(IntegrityError):
            cursor.execute(INSERTS[table], [tenant.pk])


def test_the_waiting_records_have_their_partial_index(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_sync_pending'")
        definition = cursor.fetchone()[0]
    assert "(tenant_id, sync_status)" in definition
    assert "WHERE" in definition
    assert "pending" in definition
    assert "error" in definition
