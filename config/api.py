"""The manners of the REST interface: one shape for every error, and a schema that documents them."""

import logging
from typing import Any, Literal

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from drf_spectacular.openapi import AutoSchema
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from config import unavailable
from integrations.views import field_errors

log = logging.getLogger("dialbridge.api")

PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                "required": ["field", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}

TITLES = {
    400: "The request is not valid",
    401: "No valid API key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Only JSON is served",
    409: "Already posted with other content",
    413: "Too large",
    415: "Only JSON is accepted",
    429: "Too many requests",
    503: unavailable.TITLES[503],
}


class TooLarge(exceptions.APIException):
    status_code = 413
    default_detail = "The body is larger than 5 MB. Send less at once."
    default_code = "too_large"


class Unavailable(exceptions.APIException):
    """The database is away, full or starting: nothing that was sent is lost, if it is sent again."""

    status_code = 503
    default_detail = "This could not be stored or read just now. Send it again in some seconds."
    default_code = "unavailable"


def not_found(request: HttpRequest, **_: Any) -> JsonResponse:
    """Addresses under /api/ that lead nowhere, ids that are no ids among them."""
    body = {
        "type": "about:blank",
        "title": TITLES[404],
        "status": 404,
        "detail": f"There is nothing at {request.path}.",
    }
    return JsonResponse(body, status=404, content_type="application/problem+json")


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal as `application/problem+json` (RFC 9457), with one entry in `errors` for each field."""
    if isinstance(error, RequestDataTooBig):
        error = TooLarge()
    elif isinstance(error, RecursionError):
        error = exceptions.ParseError("The JSON is nested too deeply.")
    elif unavailable.is_away(error):
        log.warning("A request could not be answered: %s", type(error).__name__)
        error = Unavailable()
    response = exception_handler(error, context)
    if response is None:
        return None
    if response.status_code == 503:
        response["Retry-After"] = unavailable.RETRY_AFTER
    errors = field_errors(response.data) if isinstance(error, exceptions.ValidationError) else []
    title = TITLES.get(response.status_code, "The request failed")
    detail = "; ".join(f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in errors)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": response.status_code,
        "detail": detail or str(getattr(error, "detail", title)),
    }
    if errors:
        body["errors"] = errors
    return Response(body, status=response.status_code, headers=_kept(response), content_type="application/problem+json")


def _kept(response: Response) -> dict[str, str]:
    return {name: response[name] for name in ("WWW-Authenticate", "Retry-After", "Allow") if response.has_header(name)}


class Schema(AutoSchema):
    """Adds the errors that any operation may answer, so that generated clients know them."""

    errors = ("400", "401", "403", "404", "406", "429", "503")
    errors_of_writes = ("409", "413", "415")

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if direction == "request":
            return bodies  # a webhook: it is for somebody else to answer
        writes = self.method in {"POST", "PUT", "PATCH"}
        for code in (*self.errors, *(self.errors_of_writes if writes else ())):
            bodies.setdefault(
                code,
                {
                    "content": {"application/problem+json": {"schema": PROBLEM}},
                    "description": TITLES[int(code)],
                },
            )
        return dict(sorted(bodies.items()))
