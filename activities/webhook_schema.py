"""The webhooks to the dialer, for the interface's own description (OpenAPI)."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, OpenApiWebhook, extend_schema, inline_serializer
from rest_framework import serializers

from activities.call_answers import CallState
from activities.dialer_webhooks import DO_NOT_CALL, FAILED, LOGGED, NEEDS_REVIEW

FORM = (
    "Signed in the form of Standard Webhooks: check webhook-signature over webhook-id, webhook-timestamp and the body, joined by "
    "dots; it may hold several signatures, parted by spaces. The same webhook-id may come twice."
)
TAKEN = {"2XX": OpenApiResponse(description="Taken. Anything else is tried again for up to a day.")}


class Problem(serializers.Serializer[Any]):
    part = serializers.ChoiceField(["call", "meeting", "follow_up"])
    cause = serializers.CharField()
    error = serializers.CharField(help_text="A sentence for people.")


class LoggedCall(CallState):
    provider = serializers.CharField(help_text="The CRM that this message is about.")

    class Meta(CallState.Meta):
        fields = [*CallState.Meta.fields, "provider"]


class FailedCall(LoggedCall):
    problem = Problem()

    class Meta(CallState.Meta):
        fields = [*LoggedCall.Meta.fields, "problem"]


class BarredContact(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The contact's id, as in /api/v1/contacts/.")
    do_not_call = serializers.BooleanField(help_text="Whether the contact must not be called now.")
    said_by = serializers.CharField(help_text="crm, api, call (its disposition), person (in the admin) or undo.")


def _webhook(name: str, title: str, summary: str, data: serializers.Serializer[Any]) -> OpenApiWebhook:
    fields: dict[str, Any] = {
        "type": serializers.ChoiceField([name]),
        "timestamp": serializers.DateTimeField(),
        "data": data,
    }
    message = inline_serializer(f"{title}Message", fields)
    return OpenApiWebhook(name, extend_schema(summary=summary, description=FORM, request=message, responses=TAKEN))


logged = _webhook(LOGGED, "CallLogged", "A CRM has the call, or a later stage of it", LoggedCall())
failed = _webhook(FAILED, "CallFailed", "A CRM did not take a call, its meeting or its follow-up", FailedCall())
needs_review = _webhook(NEEDS_REVIEW, "CallNeedsReview", "Somebody has to say whom a call was with", CallState())
do_not_call = _webhook(
    DO_NOT_CALL, "ContactDoNotCall", "Somebody must not be called any more, or may be again", BarredContact()
)
