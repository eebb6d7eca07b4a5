from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from integrations import tenancy
from integrations.commands import JsonCommand
from integrations.connecting import app_webhook_url, can_be_reached, webhook_url
from integrations.crm import open_crm
from integrations.errors import CrmError
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.client import COMMAND
from integrations.transport.trial import TrialApi


class Command(JsonCommand):
    help = "Makes the CRMs send their webhooks to PUBLIC_URL: once for an app, or for each connection. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--provider", choices=list(PROVIDERS), help="only this CRM")
        parser.add_argument("--tenant", help="only this tenant's connections, and no app's webhooks")

    def handle(self, *args: Any, **options: Any) -> None:
        if not can_be_reached():
            raise CommandError(
                f"CRMs deliver to https only, and PUBLIC_URL is {settings.PUBLIC_URL}. "
                "Set PUBLIC_URL to the address that this site is reached at."
            )
        slugs = [options["provider"]] if options["provider"] else list(PROVIDERS)
        with tenancy.everyone():
            if options["tenant"] and not Tenant.objects.filter(slug=options["tenant"]).exists():
                raise CommandError(f"There is no tenant {options['tenant']!r}.")
            apps = [] if options["tenant"] else [_of_app(slug) for slug in slugs if provider_class(slug).app_webhooks]
            connections = [_of_connection(row) for row in _rows(slugs, options["tenant"])]
        self.report(options, {"apps": apps, "connections": connections}, _text(apps, connections))
        if any(one["problem"] for one in (*apps, *connections)):
            raise SystemExit(1)


def _rows(slugs: list[str], tenant: str | None) -> list[CrmConnection]:
    slugs = [slug for slug in slugs if not provider_class(slug).app_webhooks]
    rows = CrmConnection.objects.select_related("tenant").filter(status="connected", provider__in=slugs)
    return list((rows.filter(tenant__slug=tenant) if tenant else rows).order_by("tenant__slug", "provider"))


def _of_app(slug: str) -> dict[str, Any]:
    provider, url = provider_class(slug), app_webhook_url(slug)
    result = {"provider": slug, "url": url, "changed": [], "problem": ""}
    try:
        return {**result, "changed": provider.subscribe_app(TrialApi(provider, provider.app_credential()), url)}
    except CrmError as error:
        return {**result, "problem": error.message}


def _of_connection(row: CrmConnection) -> dict[str, Any]:
    url = webhook_url(row)
    result = {"tenant": row.tenant.slug, "provider": row.provider, "url": url, "warnings": [], "problem": ""}
    try:
        with tenancy.scope(row.tenant_id):
            return {**result, "warnings": open_crm(row, COMMAND)[0].subscribe(url)}
    except CrmError as error:
        return {**result, "problem": error.message}


def _text(apps: list[dict[str, Any]], connections: list[dict[str, Any]]) -> str:
    lines = []
    for one in apps:
        told = one["problem"] or " ".join(one["changed"]) or "nothing had to be changed."
        lines.append(f"{'BAD' if one['problem'] else 'ok '} {one['provider']} (whole app): {told}")
    for one in connections:
        told = one["problem"] or " ".join(one["warnings"]) or "subscribed."
        lines.append(f"{'BAD' if one['problem'] else 'ok '} {one['tenant']} {one['provider']}: {told}")
    return "\n".join(lines) or "There is nothing to subscribe: no connection works yet."
