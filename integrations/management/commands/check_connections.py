from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from integrations import preflight, tenancy
from integrations.commands import JsonCommand
from integrations.connecting import check
from integrations.errors import CrmError
from integrations.models import CrmConnection


class Command(JsonCommand):
    help = "Asks every connected CRM who we are and what we may do there. Exit code 1 if any connection does not work."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--tenant", help="only this tenant's connections")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenancy.everyone():
            rows = CrmConnection.objects.select_related("tenant").exclude(status=CrmConnection.Status.DISCONNECTED)
            if options["tenant"]:
                rows = rows.filter(tenant__slug=options["tenant"])
            results = [_check(row) for row in rows.order_by("tenant__slug", "provider")]
        lines = [line for one in results for line in _lines(one)]
        self.report(options, {"connections": results}, "\n".join(lines) or "There are no connections yet.")
        if not all(one["ok"] for one in results):
            raise SystemExit(1)


def _check(row: CrmConnection) -> dict[str, Any]:
    result = {
        "tenant": row.tenant.slug,
        "provider": row.provider,
        "ok": True,
        "account": "",
        "problem": "",
        "warnings": [],
        "findings": [],
        "gone": [],
        "checked_at": None,
        "check_problem": "",
    }
    try:
        account = check(row)
    except CrmError as error:
        return {**result, "ok": False, "problem": error.message}
    with suppress(CrmError):  # kept in the report
        preflight.run(row)
    report = preflight.report(row)
    return {
        **result,
        "account": account.name or account.external_id,
        "warnings": list(account.warnings),
        "findings": [{**preflight.as_json(one), "new": one in report.new} for one in report.open],
        "gone": [preflight.as_json(one) for one in report.gone],
        "checked_at": report.checked_at,
        "check_problem": report.problem,
    }


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [f"{'ok ' if one['ok'] else 'BAD'} {one['tenant']} {one['provider']}: {one['account'] or one['problem']}"]
    lines += [f"      the permissions could not be checked: {one['check_problem']}"] * bool(one["check_problem"])
    lines += [f"      {'new ' if each['new'] else ''}{_told(each)} {each['remedy']}" for each in one["findings"]]
    return lines + [f"      solved: {_told(each)}" for each in one["gone"]]


def _told(finding: dict[str, Any]) -> str:
    return f"{finding['severity']}: {finding['subject']}: {finding['message']}"
