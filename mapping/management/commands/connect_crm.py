import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from integrations.commands import JsonCommand, tenant_by_slug
from integrations.connecting import connect, webhook_url
from integrations.registry import PROVIDERS, provider_class


class Command(JsonCommand):
    help = "Connects a tenant to a CRM with the credential given as JSON on standard input, after testing it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("provider", choices=list(PROVIDERS), help="which CRM")
        parser.epilog = "Credentials: " + "; ".join(
            f"{slug}: {', '.join(provider_class(slug).credential_forms)}" for slug in PROVIDERS
        )

    def handle(self, *args: Any, **options: Any) -> None:
        data = self._credential()
        with tenant_by_slug(options["tenant"]) as tenant:
            row, account = connect(tenant, options["provider"], data)
        facts = {
            "connection": str(row.pk),
            "provider": row.provider,
            "account": account.name or account.external_id,
            "webhook_url": webhook_url(row),
            "warnings": row.metadata["warnings"],
        }
        lines = [f"Connected {tenant.slug} to {row.get_provider_display()}: {facts['account']}."]
        lines += [f"Note: {warning}" for warning in row.metadata["warnings"]]
        self.report(options, facts, "\n".join([*lines, f"Webhook address: {facts['webhook_url']}"]))

    def _credential(self) -> dict[str, Any]:
        try:
            data = json.load(sys.stdin)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CommandError(
                'Standard input is not JSON. Send the credential, for instance {"auth": "api_key", "api_key": "…"}.'
            ) from error
        if not isinstance(data, dict):
            raise CommandError('The credential has to be a JSON object such as {"auth": "api_key", "api_key": "…"}.')
        return data
