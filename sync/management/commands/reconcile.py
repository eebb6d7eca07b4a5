import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from integrations.commands import JsonCommand, tenant_by_slug
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.client import COMMAND
from sync.lanes import refuse_a_stopped_day
from sync.models import Certificate, SyncRun
from sync.reconciling import reconcile


class Command(JsonCommand):
    help = "Compares all that a tenant's CRMs have with all that we hold, repairs what differs and says what it was."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--provider", choices=list(PROVIDERS), help="only this CRM")
        parser.add_argument("--object", help="only this kind of record, such as Lead")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_by_slug(options["tenant"]) as tenant:
            chosen = [
                (connection, object_type)
                for connection in self._connections(tenant, options["provider"])
                for object_type in provider_class(connection.provider).person_types
                if options["object"] in (None, object_type)
            ]
            if not chosen:
                raise CommandError("Nothing that is connected has such records. See: manage.py sync_now --help")
            made = [self._certify(connection, object_type) for connection, object_type in chosen]
        text = "\n".join(map(_line, made))
        self.report(options, {"certificates": [_as_json(one) for one in made]}, text)

    def _connections(self, tenant: Tenant, provider: str | None) -> list[CrmConnection]:
        rows = CrmConnection.objects.select_related("tenant").filter(tenant=tenant)
        rows = rows.filter(provider=provider) if provider else rows
        return list(rows.exclude(status=CrmConnection.Status.DISCONNECTED))

    def _certify(self, connection: CrmConnection, object_type: str) -> Certificate:
        while True:
            done = reconcile(connection, object_type, COMMAND)
            if done.certificate:
                return done.certificate
            if done.run.status == SyncRun.Status.PAUSED:
                raise CommandError(f"The reconciliation of {object_type} is paused. Resume it in the admin first.")
            refuse_a_stopped_day(done.why)
            time.sleep(done.wait)


def _line(one: Certificate) -> str:
    verdict = "complete" if one.complete else "NOT complete"
    return (
        f"{one.connection.get_provider_display()} {one.object_type}: {verdict} as of {one.as_of:%Y-%m-%d %H:%M:%S} UTC; "
        f"{one.remote_count} there, {one.local_count} here; {len(one.missing)} were missing, {len(one.stale)} out of date, "
        f"{len(one.vanished)} gone; {one.repaired} repaired"
    )


def _as_json(one: Certificate) -> dict[str, Any]:
    names = (
        "object_type",
        "as_of",
        "remote_count",
        "local_count",
        "missing",
        "stale",
        "vanished",
        "repaired",
        "complete",
    )
    return {"provider": one.connection.provider, **{name: getattr(one, name) for name in names}}
