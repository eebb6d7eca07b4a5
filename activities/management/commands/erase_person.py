import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from activities import person_erasing
from activities.person import Person
from activities.person_commands import add_who, found
from activities.person_erasing import Erased, UnderWay
from integrations import audit
from integrations.commands import JsonCommand, tenant_by_slug

PATIENCE = 120.0
"""Seconds for which work that is under way for the person is waited for."""


class Command(JsonCommand):
    help = (
        "Erases one person everywhere here, for good. Says what still exists in the CRMs; none of it is taken in again. Without "
        "--yes it only says whom it would erase."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_who(parser)
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_by_slug(options["tenant"]) as tenant:
            person = found(tenant, options)
            if not options["yes"]:
                counts = f"{len(person.contact_ids)} contacts and {len(person.call_ids)} calls"
                held = Erased(len(person.contact_ids), len(person.call_ids), person.crm_records)
                self.report(
                    options, {"erased": False, **held.as_json()}, f"{counts} would be erased. Add --yes to do it."
                )
                return
            erased = _patiently(person)
            audit.note(None, audit.PERSON_ERASED, tenant_id=tenant.pk, details=", ".join(person.texts[:20]))
        lines = [f"Erased: {erased.contacts} contacts, {erased.calls} calls.", *_left(erased)]
        self.report(options, {"erased": True, **erased.as_json()}, "\n".join(lines))


def _patiently(person: Person) -> Erased:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return person_erasing.erase(person, "command")
        except UnderWay as error:
            if time.monotonic() > deadline:
                raise CommandError(str(error)) from error
            time.sleep(1.0)


def _left(erased: Erased) -> list[str]:
    if not erased.crm_records:
        return ["No CRM holds anything of them as far as we know."]
    heading = "Still in the CRMs, to be erased there if that is wanted:"
    return [heading, *(f"  {one['provider']} {one['type']} {one['id']} {one['url']}" for one in erased.crm_records)]
