from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email, validate_slug
from django.db import transaction
from django.utils.crypto import get_random_string

from integrations import tenancy
from integrations.access import TENANT_ADMIN
from integrations.commands import JsonCommand
from integrations.models import ApiKey, Membership, Tenant


class Command(JsonCommand):
    help = "Makes a tenant and its first API key, which is shown this once. An existing tenant is left as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", help="short name: letters, digits and hyphens")
        parser.add_argument("--name", help="name for people (default: the short name)")
        parser.add_argument("--admin", metavar="EMAIL", help="also make this person a tenant admin")
        parser.add_argument("--region", default="US", help="two-letter country for numbers without a country code")

    def handle(self, *args: Any, **options: Any) -> None:
        self._check(options)
        with tenancy.everyone(), transaction.atomic():
            tenant, created = Tenant.objects.get_or_create(
                slug=options["slug"],
                defaults={"name": options["name"] or options["slug"], "region": options["region"].upper()},
            )
            key = ApiKey.issue(tenant, "First key")[1] if created else None
            password = self._admin(tenant, options["admin"]) if options["admin"] else None
        data: dict[str, Any] = {"tenant": tenant.slug, "api_key": key, "created": created}
        if password:
            data["admin"] = {"email": options["admin"], "password": password}
        self.report(options, data, self._text(tenant, key, options["admin"], password))

    def _check(self, options: dict[str, Any]) -> None:
        try:
            validate_slug(options["slug"])
            if options["admin"]:
                validate_email(options["admin"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        if len(options["slug"]) > 63 or len(options["region"]) != 2:
            raise CommandError("The short name has at most 63 characters, the region is a two-letter country.")

    def _admin(self, tenant: Tenant, email: str) -> str | None:
        """Gives the person access; the password is made, and returned, only for a new one."""
        user, created = User.objects.get_or_create(username=email.lower(), defaults={"email": email, "is_staff": True})
        password = get_random_string(16) if created else None
        if password:
            user.set_password(password)
            user.save()
        user.groups.add(Group.objects.get(name=TENANT_ADMIN))
        Membership.objects.get_or_create(tenant=tenant, user=user)
        return password

    def _text(self, tenant: Tenant, key: str | None, email: str | None, password: str | None) -> str:
        lines = [f"Tenant {tenant.slug} is ready." if key else f"Tenant {tenant.slug} exists; nothing was changed."]
        if key:
            lines.append(f"API key (shown this once): {key}")
        if email:
            lines.append(
                f"Tenant admin: {email}" + (f", password: {password}" if password else " (password unchanged)")
            )
        return "\n".join(lines)
