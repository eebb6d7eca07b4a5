import time
from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta
from typing import Any

from django.utils import timezone

from integrations.commands import JsonCommand, tenant_by_slug
from integrations.models import CrmConnection, Tenant
from sync import queue
from sync.models import SyncJob
from sync.work import work


class Command(JsonCommand):
    help = "Works a tenant's jobs in this process until none is left that can be done in time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds to go on at most (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        totals: Counter[str] = Counter()
        with tenant_by_slug(options["tenant"]) as tenant:
            while True:
                left = options["timeout"] - (time.monotonic() - started)
                queue.release_expired()
                for connection in CrmConnection.objects.filter(tenant=tenant, status="connected"):
                    totals += work(connection.pk, seconds=max(1.0, min(20.0, left)))
                pause = _pause(tenant, left)
                if pause is None:
                    break
                time.sleep(pause)
            waiting = _open(tenant).count()
        data = {
            "done": totals["done"],
            "retried": totals["ready"],
            "dead": totals["dead"],
            "waiting": waiting,
            "seconds": round(time.monotonic() - started, 2),
        }
        text = ", ".join(f"{value} {name}" for name, value in data.items())
        self.report(options, data, text)


def _open(tenant: Tenant) -> Any:
    return SyncJob.objects.filter(tenant=tenant, state__in=["ready", "leased"], connection__status="connected")


def _pause(tenant: Tenant, left: float) -> float | None:
    """Seconds until the next job can be done; None when nothing can be done any more in the time left."""
    moments = [
        row.not_before if row.state == SyncJob.State.READY else row.lease_until
        for row in _open(tenant).only("state", "not_before", "lease_until").order_by("not_before")[:50]
    ]
    if not moments or left <= 0:
        return None
    wait = max(0.0, (min(moments) - timezone.now()).total_seconds())
    return None if timedelta(seconds=wait) > timedelta(seconds=left) else min(wait, 1.0) + 0.05
