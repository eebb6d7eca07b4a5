"""How a contact looks to the dialer."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers

from mapping.fields import DIALER_FIELDS, UnknownFieldError, dialer_field
from sync.models import Contact, SyncRecord
from sync.phone_numbers import to_e164
from sync.values import storable

LONGEST_CUSTOM = 16 * 1024
MOST_FAULTS = 50
"""Unknown names that are told: whoever sends thousands is helped by fewer."""


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


class ContactWrite(serializers.Serializer[Any]):
    """What a dialer may say of a person. What it leaves out stays as it is; an empty text or null clears."""

    first_name = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    last_name = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True, allow_null=True)
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True, allow_null=True)
    mobile_phone = serializers.CharField(max_length=40, required=False, allow_blank=True, allow_null=True)
    company = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    title = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    lead_status = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    do_not_call = serializers.BooleanField(required=False)
    custom = serializers.DictField(required=False, help_text="The tenant's own fields; only the named ones change.")
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="The version you read. If the contact has moved on, the answer is 409."
    )

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({name: [_why_not(name)] for name in unknown[:MOST_FAULTS]})
        return storable(super().to_internal_value(data))

    def validate_email(self, value: str | None) -> str | None:
        return value.strip().lower() if value else value

    def validate_phone(self, value: str | None) -> str | None:
        return self._e164(value)

    def validate_mobile_phone(self, value: str | None) -> str | None:
        return self._e164(value)

    def _e164(self, value: str | None) -> str | None:
        """Numbers without a country code are read as the tenant's home country's."""
        if not value or not value.strip():
            return None
        try:
            return to_e164(value, self.context["region"])
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def validate_custom(self, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            try:
                dialer_field("contact", f"custom.{name}")
            except UnknownFieldError as error:
                raise serializers.ValidationError(str(error)) from error
        if len(json.dumps(value)) > LONGEST_CUSTOM:
            raise serializers.ValidationError(f"At most {LONGEST_CUSTOM:,} characters in all.")
        return value


def dialer_values(checked: dict[str, Any]) -> dict[str, Any]:
    """What was posted, by dialer field; blanks as None."""
    plain = {
        name: value if value != "" else None for name, value in checked.items() if name not in {"custom", "version"}
    }
    return plain | {f"custom.{name}": value for name, value in checked.get("custom", {}).items()}


def _why_not(name: str) -> str:
    known = DIALER_FIELDS["contact"].get(name)
    if known is None:
        return "A contact has no such field."
    return "This is counted by us." if known.readonly else "This comes from the CRM; change it there."


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
