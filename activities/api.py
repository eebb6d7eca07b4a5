"""What a dialer posts: calls, one or many at once, and their later stages. The same call may be posted any number of times."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from activities import examples, joint_posting, posting, stages, straight
from activities.call_answers import BulkAnswer, CallPosted, CallState, FoundCalls, StageTaken
from activities.idempotency import LONGEST_KEY, key_in, with_id
from activities.models import Call
from activities.posting import Posted
from activities.serializers import MOST_AT_ONCE, BulkRequest, CallQuery, CallSerializer, StageSerializer, check_call
from activities.states import sync_states
from integrations.views import AlreadyUsed, TenantView, field_errors

log = logging.getLogger("dialbridge.calls")

MOST_SHOWN = 50
KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": LONGEST_KEY},
    OpenApiParameter.HEADER,
    description="Instead of external_id.",
)
STAGE_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": LONGEST_KEY},
    OpenApiParameter.HEADER,
    description="A name for this stage: sent again with the same content it gets the same answer, with other content 409.",
)


class CallsView(TenantView):
    posted: Posted | None = None
    """What became of a call that came on the straight way; the usual way says why it was refused."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.posted = straight.store(type(self), request)
        if self.posted is not None and not self.posted.errors:
            return straight.answer(self, self.posted)
        return super().dispatch(request, *args, **kwargs)

    def check_throttles(self, request: Request) -> None:
        if self.posted is None:  # else it was counted
            super().check_throttles(request)

    @extend_schema(
        operation_id="post_call",
        summary="Log a call",
        description="201 when it is new, 200 with the same id when the same call was posted before, 409 when the id was used "
        "for another call. Nothing else has to be done: the call reaches every CRM that knows the contact, once.",
        parameters=[KEY],
        request=CallSerializer,
        responses={201: CallPosted, 200: CallPosted},
        examples=examples.POST,
    )
    def post(self, request: Request) -> Response:
        posted = self.posted or self._stored(request)
        if posted.status == 409:
            raise AlreadyUsed(posted.errors["external_id"])
        if posted.errors:
            raise ValidationError(posted.errors)
        return Response({"id": posted.id, "external_id": posted.external_id}, status=posted.status)

    def _stored(self, request: Request) -> Posted:
        data = check_call(with_id(request.data, key_in(request.META)), self.tenant.region)
        posted = joint_posting.store(self.tenant, data)
        straight.note(posted)
        return posted

    @extend_schema(
        operation_id="find_call",
        summary="Find a call by the dialer's id",
        description="One call, or none, with what became of it in each CRM. Without an id the 50 calls that were posted last.",
        parameters=[CallQuery],
        responses=FoundCalls,
        examples=examples.FOUND,
    )
    def get(self, request: Request) -> Response:
        query = CallQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data["external_id"]
        rows = Call.objects.filter(external_id=wanted) if wanted else Call.objects.order_by("-created_at")
        return Response({"results": _shown(rows[:MOST_SHOWN])})


class BulkCallsView(TenantView):
    @extend_schema(
        operation_id="post_calls",
        summary="Log many calls",
        description="Up to 500 calls at once. The answer is 200 with one result for each call, in their order: its `status` is "
        "what the call alone would have been answered. A call that is refused doesn't hinder the others.",
        request=BulkRequest,
        responses={200: BulkAnswer},
        examples=examples.BULK,
    )
    def post(self, request: Request) -> Response:
        results: dict[int, dict[str, Any]] = {}
        good: dict[int, dict[str, Any]] = {}
        for index, body in enumerate(_listed(request.data)):
            try:
                good[index] = _with_needed_id(check_call(body, self.tenant.region))
            except ValidationError as error:
                results[index] = _refused(body, error)
        posted = posting.store(self.tenant, list(good.values())) if good else []
        log.info(
            "Calls stored: %s", len(posted), extra={"calls": [str(one.id) for one in posted[:MOST_SHOWN] if one.id]}
        )
        results.update({index: _item(one) for index, one in zip(good, posted, strict=True)})
        return Response({"results": [{"index": index, **results[index]} for index in sorted(results)]})


class CallView(TenantView):
    @extend_schema(
        operation_id="read_call",
        summary="What became of a call in each CRM",
        responses=CallState,
        examples=examples.STATE,
    )
    def get(self, request: Request, call_id: UUID) -> Response:
        shown = _shown(Call.objects.filter(pk=call_id))
        if not shown:
            raise NotFound("There is no such call.")
        return Response(shown[0])

    @extend_schema(
        operation_id="update_call",
        summary="Add a later stage to a call",
        description="Disposition, notes, summary, recording and the like, whenever the dialer has them. Each CRM's activity "
        "is updated in place. With `said_at` stages may arrive in any order: what a younger stage has set stays, and "
        "the older one's field is named in `ignored`.",
        parameters=[STAGE_KEY],
        request=StageSerializer,
        responses={200: StageTaken},
        examples=examples.STAGE,
    )
    def patch(self, request: Request, call_id: UUID) -> Response:
        body = StageSerializer(data=request.data, context={"region": self.tenant.region})
        body.is_valid(raise_exception=True)
        try:
            taken = stages.add(call_id, body.validated_data, key_in(request.META))
        except stages.NoSuchCall as error:
            raise NotFound("There is no such call.") from error
        except stages.KeyUsed as error:
            raise AlreadyUsed(
                "Another stage of this call came with this Idempotency-Key. Send each stage with its own."
            ) from error
        call = taken.call
        log.info("Call changed: %s", call.pk, extra={"call": str(call.pk)})
        return Response(
            {"id": call.pk, "external_id": call.external_id, "changed": taken.changed, "ignored": taken.ignored}
        )


def _shown(rows: Any) -> list[dict[str, Any]]:
    calls = list(rows)
    states = sync_states([call.pk for call in calls])
    for call in calls:
        call.sync_states = states[call.pk]
    return list(CallState(calls, many=True).data)


def _with_needed_id(data: dict[str, Any]) -> dict[str, Any]:
    if not data.get("external_id"):
        raise ValidationError({"external_id": "Send the dialer's id of the call."})
    return data


def _listed(body: Any) -> list[Any]:
    calls = body.get("calls") if isinstance(body, Mapping) else None
    if not isinstance(calls, list):
        raise ValidationError({"calls": "Send a list of calls."})
    if not 1 <= len(calls) <= MOST_AT_ONCE:
        raise ValidationError({"calls": f"Send between 1 and {MOST_AT_ONCE} calls at once."})
    return calls


def _refused(body: Any, error: ValidationError) -> dict[str, Any]:
    name = body.get("external_id") if isinstance(body, Mapping) else None
    known = {"external_id": name} if isinstance(name, str) and name.isprintable() else {}
    return {"status": 400, **known, "errors": field_errors(error.detail)}


def _item(posted: Posted) -> dict[str, Any]:
    item: dict[str, Any] = {"status": posted.status, "external_id": posted.external_id}
    if posted.id is not None:
        item["id"] = posted.id
    if posted.errors:
        item["errors"] = field_errors(posted.errors)
    return item
