import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from integrations.commands import JsonCommand, tenant_by_slug
from integrations.errors import Retry
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.client import COMMAND
from sync.inbound import ALREADY_RUNNING
from sync.lanes import refuse_a_stopped_day
from sync.models import SyncRun
from sync.pull import pull

BUSY_SECONDS = 60.0
"""How long to wait for a worker that reads the same records."""
COUNTS = ("created", "updated", "unchanged", "skipped", "conflicts", "errored", "api_calls")


class Command(JsonCommand):
    help = "Pulls what changed in a tenant's CRMs, here and now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--provider", choices=list(PROVIDERS), help="only this CRM")
        parser.add_argument("--object", help="only this kind of record, such as Lead")
        parser.add_argument("--full", action="store_true", help="read everything, not only what changed")

    def handle(self, *args: Any, **options: Any) -> None:
        totals = dict.fromkeys(COUNTS, 0)
        started = time.monotonic()
        with tenant_by_slug(options["tenant"]) as tenant:
            for connection in self._connections(tenant, options):
                for object_type in self._object_types(connection, options["object"]):
                    run = self._pull(connection, object_type, options)
                    for name in COUNTS:
                        totals[name] += getattr(run, name)
        seconds = round(time.monotonic() - started, 2)
        text = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in totals.items())
        self.report(options, {**totals, "seconds": seconds}, f"{text} in {seconds} s")

    def _connections(self, tenant: Tenant, options: dict[str, Any]) -> list[CrmConnection]:
        rows = CrmConnection.objects.select_related("tenant").filter(tenant=tenant)
        if options["provider"]:
            rows = rows.filter(provider=options["provider"])
        found = list(rows.exclude(status=CrmConnection.Status.DISCONNECTED))
        if not found:
            raise CommandError("Nothing is connected. Connect a CRM with: manage.py connect_crm TENANT PROVIDER")
        return found

    def _object_types(self, connection: CrmConnection, wanted: str | None) -> list[str]:
        known = provider_class(connection.provider).person_types
        found = [name for name in known if not wanted or name.lower() == wanted.lower()]
        if not found:
            raise CommandError(f"{connection.get_provider_display()} has no {wanted!r}. It has: {', '.join(known)}.")
        return found

    def _pull(self, connection: CrmConnection, object_type: str, options: dict[str, Any]) -> SyncRun:
        label = f"{connection.get_provider_display()} {object_type}"
        show = None if options["json"] or not sys.stderr.isatty() else _bar(label)
        run: SyncRun | None = None
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                full = options["full"] and run is None
                pulled = pull(connection, object_type, COMMAND, full=full, run=run, progress=show)
            except Retry as error:
                if error.cause != ALREADY_RUNNING or time.monotonic() > deadline:
                    raise
                time.sleep(1.0)  # a worker is at it; go on from where it gets to
                continue
            run = pulled.run
            if pulled.finished:
                break
            refuse_a_stopped_day(pulled.why)
            time.sleep(pulled.wait)
        if show:
            sys.stderr.write("\n")
        return run


def _bar(label: str) -> Any:
    def show(run: SyncRun) -> None:
        seen = run.created + run.updated + run.unchanged + run.skipped
        whole = run.expected or seen
        filled = round(30 * min(1.0, seen / whole)) if whole else 0
        sys.stderr.write(f"\r{label:<28} [{'#' * filled}{' ' * (30 - filled)}] {seen}/{whole or '?'}")
        sys.stderr.flush()

    return show
