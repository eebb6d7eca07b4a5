import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from activities.configuration import export
from integrations.commands import tenant_by_slug


class Command(BaseCommand):
    help = (
        "Prints a tenant's field mappings, conflict rules and disposition maps as one JSON document for import_config."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--json", action="store_true", help="on one line")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_by_slug(options["tenant"]) as tenant:
            document = export(tenant)
        self.stdout.write(json.dumps(document, ensure_ascii=False, indent=None if options["json"] else 2))
