"""How a command is told whom it is about."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from activities import person
from activities.person import Person
from integrations.models import Tenant


def add_who(parser: ArgumentParser) -> None:
    parser.add_argument("tenant", help="the tenant's short name")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--email", default="", help="everybody with this e-mail address")
    who.add_argument("--phone", default="", help="everybody with this number, and calls with it that are nobody's")
    who.add_argument("--id", default="", help="our id or the CRM's, of a contact or of a call")


def found(tenant: Tenant, options: Mapping[str, Any]) -> Person:
    """In the tenant's scope. Raises CommandError when there is nobody."""
    one = person.find(
        tenant, email=options["email"].strip(), phone=options["phone"].strip(), any_id=options["id"].strip()
    )
    if not one:
        raise CommandError("Nobody is held here by that. Names are not looked for, since several people may share one.")
    return one
