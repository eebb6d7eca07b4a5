"""What a dialer may say of a call, checked before anything is stored."""

from datetime import timedelta
from typing import Any

import phonenumbers
from django.utils import timezone
from rest_framework import serializers

from activities.models import Call
from integrations.registry import PROVIDERS
from sync.values import storable

CLOCK_TOLERANCE = timedelta(hours=1)
MAX_METADATA = 16 * 1024


class CleanJson(serializers.DictField):
    """JSON without what PostgreSQL can't hold."""

    def to_internal_value(self, data: Any) -> Any:
        return storable(super().to_internal_value(data))


class CallSerializer(serializers.Serializer[Any]):
    external_id = serializers.CharField(
        max_length=200, required=False, help_text="The dialer's own id; may come as Idempotency-Key instead."
    )
    contact_id = serializers.UUIDField(required=False, allow_null=True)
    crm_record_id = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    provider = serializers.ChoiceField(choices=[], required=False, allow_blank=True, default="")
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    direction = serializers.ChoiceField(choices=["outbound", "inbound"], default="outbound")
    duration_seconds = serializers.IntegerField(min_value=0, max_value=7 * 24 * 3600)
    started_at = serializers.DateTimeField()
    disposition = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    notes = serializers.CharField(max_length=60_000, required=False, allow_blank=True, default="")
    summary = serializers.CharField(max_length=60_000, required=False, allow_blank=True, default="")
    key_points = serializers.ListField(
        child=serializers.CharField(max_length=2000), required=False, max_length=100, default=list
    )
    next_steps = serializers.ListField(
        child=serializers.CharField(max_length=2000), required=False, max_length=100, default=list
    )
    recording_url = serializers.URLField(max_length=2000, required=False, allow_blank=True, default="")
    agent_email = serializers.EmailField(required=False, allow_blank=True, default="")
    metadata = CleanJson(required=False, default=dict, help_text="ai_score, sentiment, talk_ratio and the like.")

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        fields["provider"].choices = list(PROVIDERS)
        return fields

    def validate_started_at(self, value: Any) -> Any:
        if value > timezone.now() + CLOCK_TOLERANCE:
            raise serializers.ValidationError("This is in the future. Send the time the call began, with its zone.")
        return value

    def validate_phone(self, value: str) -> str:
        """E.164; numbers without a country code are read as the tenant's home country's."""
        if not value:
            return ""
        try:
            number = phonenumbers.parse(value, self.context["region"])
        except phonenumbers.NumberParseException as error:
            raise serializers.ValidationError(
                "This is not a phone number. Send it as +, country code, number."
            ) from error
        if not phonenumbers.is_possible_number(number):
            raise serializers.ValidationError("This can't be a phone number. Send it as +, country code, number.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def validate_metadata(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(str(value)) > MAX_METADATA:
            raise serializers.ValidationError("This is too much. Keep metadata under 16 KB.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["crm_record_id"]) != bool(attrs["provider"]):
            raise serializers.ValidationError({"provider": "crm_record_id and provider belong together: send both."})
        if not (attrs.get("contact_id") or attrs["crm_record_id"] or attrs["phone"]):
            raise serializers.ValidationError(
                "Say who was called: contact_id, or crm_record_id with provider, or phone."
            )
        return attrs


class CallPosted(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    external_id = serializers.CharField()


class CallSync(serializers.Serializer[Any]):
    provider = serializers.CharField()
    status = serializers.ChoiceField(["pending", "sending", "logged", "failed"])
    crm_record_id = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    attempts = serializers.IntegerField()


class CallState(serializers.ModelSerializer[Call]):
    contact_id = serializers.UUIDField(allow_null=True)
    syncs = CallSync(many=True, source="sync_states")

    class Meta:
        model = Call
        fields = ["id", "external_id", "contact_id", "disposition", "review", "syncs"]
