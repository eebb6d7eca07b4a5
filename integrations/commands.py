"""What our commands have in common: a tenant by its short name, moments, `--json`, and errors as sentences."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integrations import tenancy
from integrations.errors import CrmError
from integrations.models import Tenant


class JsonCommand(BaseCommand):
    """Prints lines for people, or one JSON object with `--json`."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def report(self, options: dict[str, Any], data: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(data, default=str) if options["json"] else text)


def moment(text: str) -> datetime:
    """A point in time from the command line; without a zone it is meant in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no time. Write it as 2026-01-31T08:00 or 2026-01-31.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def tenant_by_slug(slug: str) -> Iterator[Tenant]:
    """The tenant, with everything inside limited to it. CRM errors inside become sentences on stderr and exit code 1."""
    with tenancy.everyone():
        tenant = Tenant.objects.filter(slug=slug).first()
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
    if tenant is None:
        raise CommandError(
            f"There is no tenant {slug!r}. Known are: {known}. Make one with: manage.py create_tenant {slug}"
        )
    with tenancy.scope(tenant.pk):
        try:
            yield tenant
        except CrmError as error:
            raise CommandError(error.message) from error
