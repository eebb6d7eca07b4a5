import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from activities.configuration import import_document, problems_of
from integrations.commands import JsonCommand, tenant_by_slug
from mapping.documents import InvalidDocument


class Command(JsonCommand):
    help = "Replaces a tenant's configuration with the JSON document on standard input: all of it, or nothing and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's short name")
        parser.add_argument("--check", action="store_true", help="only say what is wrong; change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        document = self._document()
        with tenant_by_slug(options["tenant"]) as tenant:
            try:
                if options["check"]:
                    problems = list(problems_of(document))
                    if problems:
                        raise InvalidDocument(problems)
                    self.report(options, {"problems": []}, "The document can be imported.")
                    return
                done = import_document(tenant, document, note="Imported")
            except InvalidDocument as error:
                raise CommandError(f"Nothing was changed. {len(error.problems)} problems:\n{error}") from error
        versions = ", ".join(f"{slug} v{number}" for slug, number in done.versions.items())
        text = (
            f"Imported {done.field_mappings} mapping rows ({versions or 'none touched'}) and "
            f"{done.disposition_mapping} dispositions."
        )
        self.report(options, asdict(done), text)

    def _document(self) -> Any:
        try:
            return json.load(sys.stdin)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandError("Standard input is not JSON. Send what export_config printed.") from error
