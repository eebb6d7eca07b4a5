"""Two questions an operator's machinery asks: is the process alive, and can it do its work."""

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from config import readiness
from sync.alerting import watching


def alive(_request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all: a dead database is no reason to restart it."""
    return JsonResponse({"status": "ok"})


def ready(_request: HttpRequest) -> JsonResponse:
    """200 when the database answers, has every migration, a connection for us and room on its disk; 503 with the reason else.

    That no worker is alive is no reason: what is posted is kept, and another web process would know of none either.
    """
    problems = [problem for name in readiness.OF_WEB for problem in readiness.CHECKS[name]()]
    if problems:
        return JsonResponse({"status": "unavailable", "problem": " ".join(problems)}, status=503)
    if settings.WATCH_FROM_WEB:
        watching.look_if_nobody_works()
    return JsonResponse({"status": "ok"})
