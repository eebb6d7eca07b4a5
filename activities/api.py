"""What a dialer posts: calls. Post them and forget them; the same call may be posted any number of times."""

import hashlib
import json
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from activities import targets
from activities.models import Call
from activities.serializers import CallPosted, CallSerializer, CallState
from activities.states import sync_states
from integrations.registry import PROVIDERS
from integrations.views import AlreadyUsed, TenantView

EXAMPLE = OpenApiExample(
    "A connected call",
    request_only=True,
    value={
        "external_id": "dialer-20260121-0042",
        "provider": next(iter(PROVIDERS)),
        "crm_record_id": "512",
        "direction": "outbound",
        "duration_seconds": 342,
        "started_at": "2026-01-21T14:30:00Z",
        "disposition": "Connected",
        "notes": "Wants a demo for a team of five.",
        "key_points": ["Contract with the current vendor ends in Q2"],
        "next_steps": ["Send the migration case study"],
        "recording_url": "https://recordings.example.com/rec_abc123.mp3",
        "agent_email": "rep@example.com",
        "metadata": {"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38},
    },
)


class CallsView(TenantView):
    @extend_schema(
        operation_id="post_call",
        summary="Log a call",
        description="201 when it is new, 200 with the same id when the same call was posted before, 409 when the id was used "
        "for another call. Nothing else has to be done: the call reaches every CRM that knows the contact, once.",
        parameters=[
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Instead of external_id.")
        ],
        request=CallSerializer,
        responses={201: CallPosted, 200: CallPosted},
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        serializer = CallSerializer(data=request.data, context={"region": self.tenant.region})
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        data["external_id"] = _external_id(data, request)
        call, is_new = self._store(data)
        return Response({"id": call.pk, "external_id": call.external_id}, status=201 if is_new else 200)

    def _store(self, data: dict[str, Any]) -> tuple[Call, bool]:
        fingerprint = _fingerprint(data)
        earlier = Call.objects.filter(external_id=data["external_id"]).first()
        if earlier is None:
            try:
                with transaction.atomic():
                    return self._create(data, fingerprint), True
            except IntegrityError:
                # Two posts of one call at the same instant: the other one was faster.
                earlier = Call.objects.get(external_id=data["external_id"])
        if earlier.fingerprint != fingerprint:
            raise AlreadyUsed(
                f"Another call was posted as {data['external_id']!r}. Send each call under an id of its own; "
                "later stages of the same call go to PATCH."
            )
        return earlier, False

    def _create(self, data: dict[str, Any], fingerprint: str) -> Call:
        fields = {name: value for name, value in data.items() if name not in {"contact_id", "provider"}}
        call = Call(tenant=self.tenant, fingerprint=fingerprint, crm_provider=data["provider"], **fields)
        try:
            found = targets.locate(call, data.get("contact_id"))
        except targets.TargetError as error:
            raise ValidationError({error.field: str(error)}) from error
        call.save(force_insert=True)
        targets.enqueue(call, found)
        return call


class CallView(TenantView):
    @extend_schema(operation_id="read_call", summary="What became of a call in each CRM", responses=CallState)
    def get(self, request: Request, call_id: UUID) -> Response:
        call: Any = Call.objects.filter(pk=call_id).first()
        if call is None:
            raise NotFound("There is no such call.")
        call.sync_states = sync_states([call.pk])[call.pk]
        return Response(CallState(call).data)


def _external_id(data: dict[str, Any], request: Request) -> str:
    header = request.headers.get("Idempotency-Key", "").strip()
    given = data.get("external_id", "")
    if header and given and header != given:
        raise ValidationError(
            {"external_id": "It differs from the Idempotency-Key header. Send one of them, or the same."}
        )
    external_id = given or header
    if not external_id:
        raise ValidationError({"external_id": "Send the dialer's id of the call, here or as Idempotency-Key."})
    if len(external_id) > 200:
        raise ValidationError({"external_id": "Ensure this field has no more than 200 characters."})
    return str(external_id)


def _fingerprint(data: dict[str, Any]) -> str:
    text = json.dumps(data, cls=DjangoJSONEncoder, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
