import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import CommandError

from integrations import tenancy
from integrations.access import SUPPORT, TENANT_ADMIN
from integrations.commands import JsonCommand
from integrations.connecting import connect
from integrations.errors import CrmError
from integrations.models import ApiKey, CrmConnection, Membership, Tenant
from integrations.registry import PROVIDERS, provider_label
from sync import pulling

PASSWORD = "dialbridge-demo"  # noqa: S105 - printed on the screen, for a site on loopback
NAMES = ("Acme Energy", "Borealis Software", "Cedar Homes", "Delta Logistics", "Elm Legal")


class Command(JsonCommand):
    help = (
        "Makes a demo tenant for each CRM, connects it to the running sandbox and asks for the first load. "
        "What is there already is kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--sandboxes", type=json.loads, required=True, help='JSON: {"hubspot": "http://127.0.0.1:9101"}'
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data belongs on a development site: this runs only with DEBUG=true.")
        keys = _KeyFile(Path(settings.DATA_DIR) / "demo-keys.json")
        made = []
        with tenancy.everyone():
            self._user("support@dialbridge.example", SUPPORT)
            for name, slug in zip(NAMES, PROVIDERS, strict=False):
                if slug in options["sandboxes"]:
                    made.append(self._tenant(name, slug, options["sandboxes"][slug], keys))
        data = {"password": PASSWORD, "support": "support@dialbridge.example", "tenants": made}
        lines = [f"{one['slug']}: {provider_label(one['provider'])}, admin {one['admin']}" for one in made]
        self.report(options, data, "\n".join([*lines, f"Password of all: {PASSWORD}"]))

    def _tenant(self, name: str, provider: str, sandbox: str, keys: "_KeyFile") -> dict[str, str]:
        slug = name.lower().replace(" ", "-")
        tenant, created = Tenant.objects.get_or_create(slug=slug, defaults={"name": name})
        admin = f"admin@{slug}.example"
        user = self._user(admin, TENANT_ADMIN)
        Membership.objects.get_or_create(tenant=tenant, user=user)
        if created or slug not in keys.known:
            keys.keep(slug, ApiKey.issue(tenant, "Demo dialer")[1])
        self._connect(tenant, provider, sandbox)
        return {"slug": slug, "provider": provider, "admin": admin, "api_key": keys.known[slug], "sandbox": sandbox}

    def _connect(self, tenant: Tenant, provider: str, sandbox: str) -> None:
        known = CrmConnection.objects.filter(tenant=tenant, provider=provider).first()
        credential = requests.get(f"{sandbox}/_sandbox/connect", timeout=30).json()["credential"]
        try:
            row, _account = connect(tenant, provider, credential)
        except CrmError as error:
            raise CommandError(f"{tenant.slug} can't be connected: {error.message}") from error
        if known is None:
            pulling.enqueue_all([row])

    def _user(self, email: str, role: str) -> User:
        user, created = User.objects.get_or_create(username=email, defaults={"email": email, "is_staff": True})
        if created:
            user.set_password(PASSWORD)
            user.save()
        user.groups.add(Group.objects.get(name=role))
        return user


class _KeyFile:
    """The demo's API keys: the database has only their hashes, and a second start needs them again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def keep(self, slug: str, key: str) -> None:
        self.known[slug] = key
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.known, file)
