"""What a dialer may say of a call, checked before anything is stored."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError as NotAnAddress
from django.core.validators import URLValidator
from django.utils import timezone
from rest_framework import serializers

from integrations.registry import PROVIDERS
from sync.serializers import MOST_FAULTS
from sync.values import storable

CLOCK_TOLERANCE = timedelta(hours=1)
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_METADATA = 16 * 1024
MOST_AT_ONCE = 500
LONGEST_CALL = 7 * 24 * 3600
LONGEST_MEETING_MINUTES = 7 * 24 * 60
NULLABLE = frozenset(("contact_id", "meeting", "follow_up"))
FIXED = ("external_id", "direction", "started_at")
"""What a later stage may repeat but never change."""
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/\S+")
_WEB = URLValidator(schemes=["http", "https"])


class CleanJson(serializers.DictField):
    """JSON without what PostgreSQL can't hold."""

    def to_internal_value(self, data: Any) -> Any:
        return storable(super().to_internal_value(data))


class RecordingAddress(serializers.CharField):
    """An address of the web, or `s3://bucket/key`."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if text and not _BUCKET.fullmatch(text):
            try:
                _WEB(text)
            except NotAnAddress as error:
                raise serializers.ValidationError("Send a whole address: https://… or s3://bucket/key.") from error
        return text


class MeetingSerializer(serializers.Serializer[Any]):
    """A meeting that was booked in the call."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(required=False, help_text="Or duration_minutes.")
    duration_minutes = serializers.IntegerField(
        required=False, min_value=1, max_value=LONGEST_MEETING_MINUTES, help_text="Or ends_at."
    )
    title = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")
    location = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")

    def validate_starts_at(self, value: datetime) -> datetime:
        return _not_ancient(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        minutes, end = attrs.pop("duration_minutes", None), attrs.get("ends_at")
        if (minutes is None) == (end is None):
            raise serializers.ValidationError({"ends_at": "Send either ends_at or duration_minutes."})
        try:
            attrs["ends_at"] = end or attrs["starts_at"] + timedelta(minutes=minutes or 0)
        except OverflowError as error:
            raise serializers.ValidationError({"starts_at": "This is too far away."}) from error
        if attrs["ends_at"] <= attrs["starts_at"]:
            raise serializers.ValidationError({"ends_at": "The meeting has to end after it starts."})
        return {**attrs, "starts_at": _as_text(attrs["starts_at"]), "ends_at": _as_text(attrs["ends_at"])}


class FollowUpSerializer(serializers.Serializer[Any]):
    """Something that the agent has to do later for this person."""

    due_at = serializers.DateTimeField()
    title = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")

    def validate_due_at(self, value: datetime) -> datetime:
        return _not_ancient(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {**attrs, "due_at": _as_text(attrs["due_at"])}


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _not_ancient(value: datetime) -> datetime:
    if value < OLDEST:
        raise serializers.ValidationError("This is too long ago to be meant.")
    return value


def _in_the_past(value: datetime) -> datetime:
    if value > timezone.now() + CLOCK_TOLERANCE:
        raise serializers.ValidationError("This is in the future. Send when it happened, with the time's zone.")
    return _not_ancient(value)


def checked_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(str(value)) > MAX_METADATA:
        raise serializers.ValidationError("This is too much. Keep metadata under 16 KB.")
    if any(isinstance(one, float) and not math.isfinite(one) for one in _leaves(value)):
        raise serializers.ValidationError("Numbers have to be finite.")
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


class CallSerializer(serializers.Serializer[Any]):
    external_id = serializers.CharField(
        max_length=200, required=False, help_text="The dialer's own id; may come as Idempotency-Key instead."
    )
    contact_id = serializers.UUIDField(required=False, allow_null=True)
    crm_record_id = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    provider = serializers.ChoiceField(choices=[], required=False, allow_blank=True, default="")
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    from_number = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="The agent's own number."
    )
    related_record_id = serializers.CharField(
        max_length=100,
        required=False,
        allow_blank=True,
        default="",
        help_text="The CRM's id of the account or deal that the call was about.",
    )
    direction = serializers.ChoiceField(choices=["outbound", "inbound"], default="outbound")
    duration_seconds = serializers.IntegerField(min_value=0, max_value=LONGEST_CALL)
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
    recording_url = RecordingAddress(
        max_length=2000, required=False, allow_blank=True, default="", help_text="https://… or s3://bucket/key."
    )
    agent_email = serializers.EmailField(max_length=254, required=False, allow_blank=True, default="")
    metadata = CleanJson(required=False, default=dict, help_text="ai_score, sentiment, talk_ratio and the like.")
    meeting = MeetingSerializer(required=False, allow_null=True, default=None)
    follow_up = FollowUpSerializer(required=False, allow_null=True, default=None)

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        fields["provider"].choices = list(PROVIDERS)
        for field in fields.values():
            field.allow_null = field.allow_null or not field.required
        return fields

    def to_internal_value(self, data: Any) -> Any:
        """Many programs write null for what they have not got: it is as good as leaving it out."""
        return super().to_internal_value(without_nulls(data, self.fields) if isinstance(data, Mapping) else data)

    def validate_started_at(self, value: datetime) -> datetime:
        return _in_the_past(value)

    def validate_phone(self, value: str) -> str:
        return _e164(value, self.context["region"])

    def validate_from_number(self, value: str) -> str:
        return _e164(value, self.context["region"])

    def validate_metadata(self, value: dict[str, Any]) -> dict[str, Any]:
        return checked_metadata(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["crm_record_id"]) != bool(attrs["provider"]):
            raise serializers.ValidationError({"provider": "crm_record_id and provider belong together: send both."})
        if not (attrs.get("contact_id") or attrs["crm_record_id"] or attrs["phone"]):
            raise serializers.ValidationError(
                "Say who was called: contact_id, or crm_record_id with provider, or phone."
            )
        return attrs


def without_nulls(data: Mapping[Any, Any], fields: Mapping[str, Any]) -> dict[Any, Any]:
    return {name: value for name, value in data.items() if value is not None or not may_be_null(name, fields)}


def may_be_null(name: Any, fields: Mapping[str, Any]) -> bool:
    """Whether null in this field means that it was left out. Some have a meaning of their own for it."""
    return name in fields and not fields[name].required and name not in NULLABLE


def _e164(value: str, region: str) -> str:
    """Numbers without a country code are read as the tenant's home country's."""
    if not value:
        return ""
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as error:
        raise serializers.ValidationError("This is not a phone number. Send it as +, country code, number.") from error
    if not phonenumbers.is_possible_number(number):
        raise serializers.ValidationError("This can't be a phone number. Send it as +, country code, number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class StageSerializer(serializers.Serializer[Any]):
    """What a later stage adds to a call. What it leaves out stays as it is."""

    said_at = serializers.DateTimeField(
        required=False,
        help_text="When the dialer made this stage; now when left out. What a younger stage set before is not overwritten.",
    )
    contact_id = serializers.UUIDField(required=False, help_text="Whom the call was with, if nobody knew before.")
    duration_seconds = serializers.IntegerField(min_value=0, max_value=LONGEST_CALL, required=False)
    disposition = serializers.CharField(max_length=100, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=60_000, required=False, allow_blank=True)
    summary = serializers.CharField(max_length=60_000, required=False, allow_blank=True)
    key_points = serializers.ListField(child=serializers.CharField(max_length=2000), required=False, max_length=100)
    next_steps = serializers.ListField(child=serializers.CharField(max_length=2000), required=False, max_length=100)
    recording_url = RecordingAddress(max_length=2000, required=False, allow_blank=True)
    agent_email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    metadata = CleanJson(required=False, help_text="Merged key by key; null takes a key away.")
    meeting = MeetingSerializer(
        required=False, allow_null=True, help_text="null takes the meeting back: it is cancelled in the CRMs."
    )
    follow_up = FollowUpSerializer(required=False, allow_null=True)
    external_id = serializers.CharField(max_length=200, required=False, help_text="May be repeated, never changed.")
    direction = serializers.ChoiceField(
        choices=["outbound", "inbound"], required=False, help_text="May be repeated, never changed."
    )
    started_at = serializers.DateTimeField(required=False, help_text="May be repeated, never changed.")

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields), key=str) if isinstance(data, Mapping) else []
        if unknown:
            text = "A later stage can't say this. What a call was and with whom is settled when it is posted."
            raise serializers.ValidationError({name: [text] for name in unknown[:MOST_FAULTS]})
        return super().to_internal_value(data)

    def validate_said_at(self, value: datetime) -> datetime:
        return _in_the_past(value)

    def validate_metadata(self, value: dict[str, Any]) -> dict[str, Any]:
        return checked_metadata(value)


def check_call(body: Any, region: str) -> dict[str, Any]:
    """The body as it will be stored. Raises ValidationError with every fault."""
    checked: dict[str, Any] = checker(region).run_validation(body)
    return checked


def checker(region: str) -> CallSerializer:
    return _checker(region, tuple(PROVIDERS))


@lru_cache(maxsize=256)
def _checker(region: str, _providers: tuple[str, ...]) -> CallSerializer:
    """One for all requests: building its twenty fields costs more than checking a call, and checking changes nothing in it."""
    return CallSerializer(context={"region": region})


class BulkRequest(serializers.Serializer[Any]):
    """For the documentation: each call is checked by itself, so that one bad item doesn't fail the others."""

    calls = serializers.ListField(child=CallSerializer(), min_length=1, max_length=MOST_AT_ONCE)


class CallQuery(serializers.Serializer[Any]):
    external_id = serializers.CharField(
        max_length=200, required=False, default="", help_text="The dialer's own id of the call."
    )
