"""How a contact looks to the dialer."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers

from sync.models import Contact, SyncRecord


class LinkSerializer(serializers.ModelSerializer[SyncRecord]):
    provider = serializers.CharField(source="crm_provider")
    object_type = serializers.CharField(source="crm_object_type")
    status = serializers.CharField(source="sync_status")

    class Meta:
        model = SyncRecord
        fields = ["provider", "object_type", "crm_record_id", "url", "status"]


class ContactSerializer(serializers.ModelSerializer[Contact]):
    deleted = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    class Meta:
        model = Contact
        fields = [
            "id", "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status",
            "owner_email", "do_not_call", "last_called_at", "last_disposition", "call_count", "ai_score", "custom", "version",
            "updated_at", "deleted", "links",
        ]  # fmt: skip
        read_only_fields = fields

    def get_deleted(self, contact: Contact) -> bool:
        return contact.deleted_at is not None

    def get_links(self, contact: Contact) -> list[dict[str, Any]]:
        links = self.context["links"].get(contact.pk, [])
        return list(LinkSerializer(links, many=True).data)


def links_of(contacts: Sequence[Contact]) -> dict[UUID, list[SyncRecord]]:
    """The CRM records of these contacts, in one query."""
    found: dict[UUID, list[SyncRecord]] = defaultdict(list)
    rows = SyncRecord.objects.filter(local_record_id__in=[contact.pk for contact in contacts], local_table="contacts")
    for row in rows.order_by("crm_provider", "crm_object_type", "created_at"):
        found[row.local_record_id].append(row)
    return found


class FeedQuery(serializers.Serializer[Any]):
    cursor = serializers.CharField(required=False, default="", help_text="From the last answer; empty to start over.")
    limit = serializers.IntegerField(required=False, default=100, min_value=1, max_value=1000)
    provider = serializers.CharField(required=False, default="", help_text="Only contacts linked to this CRM.")
    do_not_call = serializers.BooleanField(required=False, allow_null=True, default=None)


class FeedAnswer(serializers.Serializer[Any]):
    results = ContactSerializer(many=True)
    cursor = serializers.CharField(help_text="Send it with the next request, now or days later.")
    has_more = serializers.BooleanField(help_text="False: this pass is complete.")
    next = serializers.CharField(
        allow_null=True, help_text="The address of the next page, null at the end of the pass."
    )


class HealthAnswer(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    provider = serializers.CharField()
    status = serializers.CharField()
    last_sync_at = serializers.DateTimeField(allow_null=True)
    records_synced_last_24h = serializers.IntegerField()
    error_rate_last_24h = serializers.FloatField(help_text="Percent.")
    pending_records = serializers.IntegerField()
    avg_sync_latency_ms = serializers.IntegerField(allow_null=True)
    consecutive_failures = serializers.IntegerField()
    circuit_breaker_state = serializers.ChoiceField(["closed", "open", "half-open"])
