"""What is answered where nothing else caught an error: "back in a moment" while the database is away, else that it is our fault."""

import sys
from collections.abc import Iterator

import psycopg
from django import db
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader

AWAY = (db.OperationalError, db.InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
"""What the driver raises when the server is gone, starts, has no room left or ended this connection."""
RETRY_AFTER = "5"
OF_MACHINES = ("/api/", "/webhooks/", "/readyz", "/metrics")
TITLES = {500: "Something went wrong on our side", 503: "Not available for a moment"}


def is_away(error: BaseException | None) -> bool:
    """Whether the database being away is what an error came from."""
    return any(isinstance(one, AWAY) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def server_error(request: HttpRequest) -> HttpResponse:
    """A page is rendered without the request: whatever it asks the database for would fail again."""
    status = 503 if is_away(sys.exc_info()[1]) else 500
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    if request.path_info.startswith(OF_MACHINES):
        body = {
            "type": "about:blank",
            "title": TITLES[status],
            "status": status,
            "detail": f"{TITLES[status]}. Try again.",
        }
        return JsonResponse(body, status=status, headers=headers, content_type="application/problem+json")
    return HttpResponse(loader.get_template(f"{status}.html").render(), status=status, headers=headers)
