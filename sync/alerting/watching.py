"""The minute's work, and the second pair of eyes for when nobody does it any more.

A worker does it by the clock. If all workers are gone, that is the very thing to be told of: then whoever is asked whether the site
is ready, the web, looks instead, at most once a minute in each process, and sends what is due itself.
"""

import logging
import threading
import time

from django import db
from django.utils import timezone

from integrations import tenancy
from sync import metrics
from sync.alerting import delivering, evaluating
from sync.alerting.conditions import WORKER_SILENT_AFTER
from sync.models import Alert, WorkerBeat

log = logging.getLogger("dialbridge.alerts")
EVERY = 60.0
KEPT = metrics.KEPT
_next_look = 0.0
_looking = threading.Lock()


def minute() -> None:
    """What the clock calls. Twice, late or never changes nothing but the delay."""
    metrics.collect()
    evaluating.evaluate()
    delivering.deliver()


def forget() -> None:
    """Deletes hours and alerts of long ago."""
    metrics.forget()
    with tenancy.everyone():
        Alert.objects.filter(resolved_at__lt=timezone.now() - KEPT).delete()


def look_if_nobody_works() -> threading.Thread | None:
    """For the web: looks in the background when no worker is alive. Costs one small query a minute."""
    global _next_look  # noqa: PLW0603 - of this process
    if time.monotonic() < _next_look:
        return None
    _next_look = time.monotonic() + EVERY
    if WorkerBeat.objects.filter(
        kind=WorkerBeat.Kind.WORKER, beaten_at__gt=timezone.now() - WORKER_SILENT_AFTER
    ).exists():
        return None
    thread = threading.Thread(target=_look, name="alerts", daemon=True)
    thread.start()
    return thread


def _look() -> None:
    if not _looking.acquire(blocking=False):
        return
    try:
        minute()
    except db.Error:
        log.exception("The look at the connections failed and is tried again in a minute")
    finally:
        _looking.release()
        db.connections.close_all()
