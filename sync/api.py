"""What a dialer reads: contacts as a change feed, one contact, and how its connections are doing."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.registry import PROVIDERS
from integrations.views import AlreadyUsed, TenantView
from sync import editing, feed, folding, health
from sync.models import Contact
from sync.serializers import (
    ContactSerializer,
    ContactWrite,
    FeedAnswer,
    FeedQuery,
    HealthAnswer,
    dialer_values,
    links_of,
)

IDENTIFYING = ("first_name", "last_name", "email", "phone", "mobile_phone")


class _Writes(TenantView):
    def checked(self, request: Request) -> dict[str, Any]:
        """The body as the serializer has it. Raises ValidationError with every fault."""
        body = ContactWrite(data=request.data, context={"region": self.tenant.region})
        body.is_valid(raise_exception=True)
        found: dict[str, Any] = body.validated_data
        return found


def author_of(request: Request) -> editing.Author:
    key: Any = request.auth
    return editing.Author("api", str(key))


class ContactsView(_Writes):
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

    @extend_schema(
        operation_id="create_contact",
        summary="A new contact",
        description="It is also created in each connected CRM that takes new people from us.",
        request=ContactWrite,
        responses={201: ContactSerializer},
    )
    def post(self, request: Request) -> Response:
        fields = dialer_values(self.checked(request))
        if not any(fields.get(name) for name in IDENTIFYING):
            raise ValidationError({"non_field_errors": [f"Send at least one of {', '.join(IDENTIFYING)}."]})
        contact = editing.create(self.tenant.pk, fields, author_of(request))
        return Response(_shown([contact])[0], status=201)


class ContactView(_Writes):
    @extend_schema(
        operation_id="read_contact",
        summary="One contact",
        description="The id of a contact that was joined into another one answers with that one, under its own id.",
        responses=ContactSerializer,
    )
    def get(self, request: Request, contact_id: UUID) -> Response:
        contact = Contact.objects.filter(pk=folding.survivor_of(contact_id)).first()
        if contact is None:
            raise NotFound("There is no such contact.")
        return Response(_shown([contact])[0])

    @extend_schema(
        operation_id="update_contact",
        summary="Change a contact",
        description="Only what differs is changed, and carried to every CRM that knows the contact.",
        request=ContactWrite,
        responses=ContactSerializer,
    )
    def patch(self, request: Request, contact_id: UUID) -> Response:
        checked = self.checked(request)
        try:
            contact = editing.edit(
                folding.survivor_of(contact_id),
                dialer_values(checked),
                author_of(request),
                expected_version=checked.get("version"),
            )
        except editing.VersionMismatch as error:
            raise AlreadyUsed(f"{error} Read it again and repeat your change.") from error
        if contact is None:
            raise NotFound("There is no such contact, or it was deleted.")
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
