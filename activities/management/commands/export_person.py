import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from activities import person_exporting
from activities.person_commands import add_who, found
from integrations import audit
from integrations.commands import tenant_by_slug


class Command(BaseCommand):
    help = "Prints everything that is held of one person as one JSON document, with links to what the CRMs hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_who(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_by_slug(options["tenant"]) as tenant:
            person = found(tenant, options)
            document = person_exporting.export(person)
            audit.note(None, audit.EXPORTED, tenant_id=tenant.pk, details="person " + ", ".join(person.texts[:20]))
        self.stdout.write(json.dumps(document, default=str, ensure_ascii=False, indent=2))
