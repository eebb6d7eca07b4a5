"""The web process of the `ingest` benchmark: the application as it is, and beside it a bare view behind the same middleware."""

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from config.wsgi import application

FLOOR = "/api/v1/floor/"
TABLE = "bench_calls"


@csrf_exempt
def floor(request: HttpRequest) -> JsonResponse:
    """One INSERT of the body, without a key and without a look at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} (body) VALUES (%s)", [request.body.decode()])
    return JsonResponse({"ok": True}, status=201)


__all__ = ["application"]
urlpatterns = [path(FLOOR.lstrip("/"), floor), path("", include("config.urls"))]
settings.ROOT_URLCONF = __name__
