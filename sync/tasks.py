"""What django-q2 calls. Each task is only a wake-up: running one twice, late or never changes nothing but the delay."""

from datetime import timedelta

from django.utils import timezone
from django_q.models import Task

from integrations import tenancy
from integrations.models import CrmConnection
from sync import certificates, inbox, pulling, queue, reconciling, upkeep
from sync.work import serve


def work(connection_id: str = "") -> None:  # noqa: ARG001 - says who called; the database says who is next
    serve()


def sweep() -> None:
    """Finds lost wake-ups, the jobs of dead workers, and stored events without a job."""
    queue.release_expired()
    inbox.find_forgotten()
    queue.wake_due()


def tidy() -> None:
    """Forgets old events, what abandoned reconciliations listed, and after a week the task queue's notes on failed wake-ups."""
    with tenancy.everyone():
        upkeep.forget_events()
    certificates.forget_abandoned()
    Task.objects.filter(stopped__lt=timezone.now() - timedelta(days=7)).delete()


def catch_up() -> None:
    """Asks every working connection for what changed since the last pass."""
    with tenancy.everyone():
        pulling.enqueue_all(_working())


def reconcile() -> None:
    """Compares, every night, all that the CRMs have with all that we hold."""
    with tenancy.everyone():
        reconciling.enqueue_all(_working())


def read_fields() -> None:
    """Looks whether the CRMs' fields changed."""
    with tenancy.everyone():
        upkeep.enqueue(upkeep.FIELDS, _working())


def check_rights() -> None:
    """Checks every night what each credential may still do."""
    with tenancy.everyone():
        upkeep.enqueue(upkeep.RIGHTS, _working())


def _working() -> list[CrmConnection]:
    return list(CrmConnection.objects.filter(status=CrmConnection.Status.CONNECTED, tenant__is_active=True))
