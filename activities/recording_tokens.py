"""Lets a dialer hand a recording to somebody who has no log-in here: a token or a signed link for one call, for a while."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from activities import recordings
from activities.models import Call
from integrations.views import TenantView


class TokenRequest(serializers.Serializer[Any]):
    who = serializers.CharField(
        max_length=recordings.LONGEST_WHO,
        required=False,
        allow_blank=True,
        default="",
        help_text="Who is going to listen, for the list of plays: a name, an e-mail, a user's id.",
    )
    seconds = serializers.IntegerField(
        min_value=recordings.SHORTEST,
        max_value=recordings.LONGEST,
        required=False,
        default=recordings.USUAL,
        help_text="How long it is good for.",
    )


class TokenAnswer(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="Opens this call's recording and no other.")
    url = serializers.CharField(help_text="The recording's address with the token.")
    signed_url = serializers.CharField(help_text="The same with a signature instead; it names nobody.")
    expires_at = serializers.DateTimeField()


EXAMPLES = [
    OpenApiExample("For a card in the CRM", request_only=True, value={"who": "rep@example.com", "seconds": 900}),
    OpenApiExample(
        "Handed out",
        response_only=True,
        status_codes=["200"],
        value={
            "token": "eyJjIjoiNWUwYzZi…:1vRk2a:Zb3…",
            "url": "https://dialbridge.example.com/api/recordings/5e0c6b0e-8f1e-4d6e-9d43-0d7a4a9f6c11/play?token=eyJjIjoi…",
            "signed_url": "https://dialbridge.example.com/api/recordings/5e0c6b0e-8f1e-4d6e-9d43-0d7a4a9f6c11/play?expires=1769007600"
            "&signature=q1X…",
            "expires_at": "2026-01-21T15:00:00Z",
        },
    ),
]


class RecordingTokenView(TenantView):
    @extend_schema(
        operation_id="hand_out_recording",
        summary="Let somebody hear a recording",
        description="A token and a signed link that open this call's recording for a while, for a player in the dialer or in a "
        "CRM's card. They are checked at each play, and a token dies with the API key that it was made with.",
        request=TokenRequest,
        responses={200: TokenAnswer},
        examples=EXAMPLES,
    )
    def post(self, request: Request, call_id: UUID) -> Response:
        body = TokenRequest(data=request.data)
        body.is_valid(raise_exception=True)
        if not Call.objects.filter(pk=call_id).exists():
            raise NotFound("There is no such call.")
        key: Any = request.auth
        ends = recordings.until(body.validated_data["seconds"])
        made = recordings.token(call_id, ends, who=body.validated_data["who"], key=key.prefix)
        place = f"{settings.PUBLIC_URL}{reverse('play_recording', args=[call_id])}"
        answer = {
            "token": made,
            "url": f"{place}?{urlencode({'token': made})}",
            "signed_url": f"{place}?{urlencode(recordings.link_query(call_id, ends))}",
            "expires_at": ends,
        }
        return Response(TokenAnswer(answer).data, headers={"Cache-Control": "no-store"})
