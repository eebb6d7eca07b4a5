"""What a dialer reads: contacts as a change feed, one contact, and how its connections are doing."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.registry import PROVIDERS
from integrations.views import TenantView
from sync import feed, health
from sync.models import Contact
from sync.serializers import ContactSerializer, FeedAnswer, FeedQuery, HealthAnswer, links_of


class ContactsView(TenantView):
    @extend_schema(
        operation_id="list_contacts",
        summary="Contacts that changed",
        description="A stable feed: nothing is skipped and nothing comes twice within a pass. Deleted contacts stay in it.",
        parameters=[FeedQuery],
        responses=FeedAnswer,
    )
    def get(self, request: Request) -> Response:
        query = FeedQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        if asked["provider"] and asked["provider"] not in PROVIDERS:
            raise ValidationError({"provider": f"There is no CRM of this name. Known are: {', '.join(PROVIDERS)}."})
        try:
            position = feed.Position.decode(asked["cursor"]) if asked["cursor"] else feed.Position()
        except feed.BadCursor as error:
            raise ValidationError({"cursor": str(error)}) from error
        page = feed.read(position, asked["limit"], provider=asked["provider"] or None, do_not_call=asked["do_not_call"])
        cursor = page.position.encode()
        return Response(
            {
                "results": _shown(page.contacts),
                "cursor": cursor,
                "has_more": page.has_more,
                "next": _next_url(request, cursor) if page.has_more else None,
            }
        )


class ContactView(TenantView):
    @extend_schema(operation_id="read_contact", summary="One contact", responses=ContactSerializer)
    def get(self, request: Request, contact_id: UUID) -> Response:
        contact = Contact.objects.filter(pk=contact_id).first()
        if contact is None:
            raise NotFound("There is no such contact.")
        return Response(_shown([contact])[0])


class HealthView(TenantView):
    @extend_schema(
        operation_id="read_health", summary="How each connection is doing", responses=HealthAnswer(many=True)
    )
    def get(self, request: Request) -> Response:
        return Response(HealthAnswer(health.cards(), many=True).data)


def _shown(contacts: Any) -> list[dict[str, Any]]:
    return list(ContactSerializer(contacts, many=True, context={"links": links_of(contacts)}).data)


def _next_url(request: Request, cursor: str) -> str:
    query = request.query_params.copy()
    query["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
