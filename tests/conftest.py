from collections.abc import Iterator

import pytest

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
