from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection as database

from integrations import registry, tenancy
from integrations.models import ApiKey, CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from tests.fake_crm.provider import FakeService
from tests.providers.harness import serve


@pytest.fixture
def tenant(db: None) -> Tenant:
    with tenancy.everyone():
        return Tenant.objects.create(slug="acme", name="Acme")


@pytest.fixture
def stranger(db: None) -> Tenant:
    """Another tenant, who must never be seen."""
    with tenancy.everyone():
        return Tenant.objects.create(slug="stranger", name="Stranger")


@pytest.fixture
def api_key(tenant: Tenant) -> str:
    with tenancy.everyone():
        return ApiKey.issue(tenant, "Dialer")[1]


@pytest.fixture
def fake_crm(monkeypatch: pytest.MonkeyPatch, settings: object) -> Iterator[SandboxServer]:
    """A running fake CRM that the registry knows as `fakecrm`."""
    server = serve(FakeService)
    registry.provider_class.cache_clear()
    monkeypatch.setitem(registry.PROVIDERS, "fakecrm", ("Fake CRM", "tests.fake_crm"))
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]  # type: ignore[attr-defined]
    yield server
    server.close()
    registry.provider_class.cache_clear()


@pytest.fixture
def connection(tenant: Tenant, fake_crm: SandboxServer) -> CrmConnection:
    """The tenant's connection to the fake CRM, with a token that works."""
    with tenancy.everyone():
        row: CrmConnection = CrmConnection.objects.create(
            tenant=tenant,
            provider="fakecrm",
            auth="oauth",
            access_token="access-0",
            refresh_token="refresh-0",
            instance_url=fake_crm.url,
            account_id="acct-1",
        )
        return row


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, freed at the end of whoever is still in it: the backend of a process that a test killed."""
    yield
    with django_db_blocker.unblock(), database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
