"""How a call looks to the dialer: what is answered when it is posted, what became of it in each CRM."""

from typing import Any

from rest_framework import serializers

from activities.models import Call


class CallPosted(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    external_id = serializers.CharField()


class FieldError(serializers.Serializer[Any]):
    field = serializers.CharField()
    message = serializers.CharField()


class BulkItem(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The call's place in the request, from 0.")
    status = serializers.ChoiceField(choices=[200, 201, 400, 409], help_text="What a single post would have answered.")
    id = serializers.UUIDField(required=False)
    external_id = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, Any]:
        # Not declared above: a serializer has an `errors` of its own.
        return {**super().get_fields(), "errors": FieldError(many=True, required=False)}


class BulkAnswer(serializers.Serializer[Any]):
    results = BulkItem(many=True)


class StageTaken(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    external_id = serializers.CharField()
    changed = serializers.ListField(child=serializers.CharField(), help_text="Fields that this stage changed.")
    ignored = serializers.ListField(
        child=serializers.CharField(), help_text="Fields that a younger stage had set already."
    )


class SideState(serializers.Serializer[Any]):
    status = serializers.ChoiceField(
        ["pending", "sending", "logged", "failed", "cancelled"],
        help_text="cancelled: a meeting or follow-up that a later stage took back.",
    )
    crm_record_id = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    attempts = serializers.IntegerField()


class CallSync(SideState):
    provider = serializers.CharField()
    meeting = SideState(required=False, help_text="Only where the call has a meeting for this CRM.")
    follow_up = SideState(required=False, help_text="Only where the call has a follow-up for this CRM.")


class CallState(serializers.ModelSerializer[Call]):
    contact_id = serializers.UUIDField(allow_null=True)
    review = serializers.ChoiceField(
        choices=Call.Review.choices,
        help_text="Not empty: somebody has to say whose the call is, or its contact is in no CRM.",
    )
    syncs = CallSync(many=True, source="sync_states")

    class Meta:
        model = Call
        fields = ["id", "external_id", "contact_id", "disposition", "review", "syncs"]


class FoundCalls(serializers.Serializer[Any]):
    results = CallState(many=True)
