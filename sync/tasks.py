"""What django-q2 calls. Each task is only a wake-up: running one twice, late or never changes nothing but the delay."""

import time
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import Task
from django_q.tasks import async_task

from integrations import tenancy
from integrations.models import CrmConnection
from sync import certificates, erasing, inbox, pulling, queue, reconciling, upkeep, wizard_jobs
from sync.alerting import watching
from sync.causes import noting, retrying
from sync.undoing import overwritten
from sync.work import serve


def work(connection_id: str = "") -> None:  # noqa: ARG001 - says who called; the database says who is next
    serve()


def sweep() -> None:
    """Finds lost wake-ups, the jobs of dead workers, and stored events without a job."""
    queue.release_expired()
    inbox.find_forgotten()
    queue.wake_due()
    _sort_failures()
    go_on_replaying()


def go_on_replaying() -> None:
    """Goes on with what somebody wanted tried again or dismissed, which was too much for one moment."""
    with tenancy.everyone():
        retrying.go_on()


def _sort_failures() -> None:
    until = time.monotonic() + 5.0
    while noting.sort_older() and time.monotonic() < until:
        pass


def tidy() -> None:
    """Forgets old events, requests, hours and alerts, what abandoned reconciliations listed, and after a week the task queue's
    notes on failed wake-ups."""
    with tenancy.everyone():
        upkeep.forget_events()
        noting.forget()
        upkeep.forget_exchanges()
        erasing.forget_late(timezone.now())
        upkeep.forget_sessions()
        overwritten.forget_old(timezone.now())
    certificates.forget_abandoned()
    watching.forget()
    forget_jobs()
    Task.objects.filter(stopped__lt=timezone.now() - timedelta(days=7)).delete()


def forget_jobs() -> None:
    """For as long as a task may take; with more to do another one goes on."""
    if upkeep.forget_jobs():
        async_task("sync.tasks.forget_jobs")


def catch_up() -> None:
    """Asks every working connection for what changed since the last pass."""
    with tenancy.everyone():
        pulling.enqueue_all(_loading())


def reconcile() -> None:
    """Compares, every night, all that the CRMs have with all that we hold."""
    with tenancy.everyone():
        reconciling.enqueue_all(_loading())


def read_fields() -> None:
    """Looks whether the CRMs' fields changed."""
    with tenancy.everyone():
        upkeep.enqueue(upkeep.FIELDS, _working())


def check_rights() -> None:
    """Checks every night what each credential may still do."""
    with tenancy.everyone():
        upkeep.enqueue(upkeep.RIGHTS, _working())


def _working() -> "QuerySet[CrmConnection]":
    return CrmConnection.objects.filter(status=CrmConnection.Status.CONNECTED, tenant__is_active=True)


def _loading() -> list[CrmConnection]:
    """Without those whose first load waits for a person to start it."""
    return list(wizard_jobs.loads_by_the_clock(_working()))
