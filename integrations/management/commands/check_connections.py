from argparse import ArgumentParser
from typing import Any

from integrations import tenancy
from integrations.commands import JsonCommand
from integrations.connecting import check
from integrations.errors import CrmError
from integrations.models import CrmConnection


class Command(JsonCommand):
    help = "Asks every connected CRM who we are. Exit code 1 if any connection does not work."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--tenant", help="only this tenant's connections")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenancy.everyone():
            rows = CrmConnection.objects.select_related("tenant").exclude(status=CrmConnection.Status.DISCONNECTED)
            if options["tenant"]:
                rows = rows.filter(tenant__slug=options["tenant"])
            results = [self._check(row) for row in rows.order_by("tenant__slug", "provider")]
        lines = [
            f"{'ok ' if one['ok'] else 'BAD'} {one['tenant']} {one['provider']}: {one['account'] or one['problem']}"
            for one in results
        ]
        self.report(options, {"connections": results}, "\n".join(lines) or "There are no connections yet.")
        if not all(one["ok"] for one in results):
            raise SystemExit(1)

    def _check(self, row: CrmConnection) -> dict[str, Any]:
        result = {
            "tenant": row.tenant.slug,
            "provider": row.provider,
            "ok": True,
            "account": "",
            "problem": "",
            "warnings": [],
        }
        try:
            account = check(row)
        except CrmError as error:
            return {**result, "ok": False, "problem": error.message}
        return {**result, "account": account.name or account.external_id, "warnings": list(account.warnings)}
