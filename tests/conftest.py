from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import transaction
from django.test import Client, TransactionTestCase

from integrations import registry, tenancy
from integrations.models import ApiKey, CrmConnection, Tenant
from integrations.registry import PROVIDERS
from integrations.sandbox import people
from integrations.sandbox.server import SandboxServer
from tests import factories, migrated
from tests.factories import World
from tests.fake_crm.provider import FakeService
from tests.providers.case import Case
from tests.providers.connected import connected
from tests.providers.harness import serve

hypothesis.settings.register_profile(
    "suite", deadline=None, max_examples=10
)  # on a busy machine any example may take long
hypothesis.settings.register_profile("thorough", deadline=None)

LONGEST = ("tests/live/", "tests/sync/test_model.py", "tests/screens/")
SHORT = "one of the long proofs: script/test --thorough"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="With the long proofs, and more examples of every property."
    )


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("thorough" if config.getoption("--thorough") else "suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that at the end no process waits for another."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        if item.get_closest_marker("thorough") and not config.getoption("--thorough"):
            item.add_marker(pytest.mark.skip(SHORT))


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
def ours(tenant: Tenant) -> World:
    """A row of each model, all of the tenant."""
    return factories.world(tenant)


@pytest.fixture
def theirs(stranger: Tenant) -> World:
    return factories.world(stranger)


@pytest.fixture
def sign_in(db: None) -> Callable[[User], Client]:
    def signed_in(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return signed_in


@pytest.fixture
def everyone() -> Iterator[None]:
    """Without a tenant's scope, as workers that serve all of them."""
    with tenancy.everyone():
        yield


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


@pytest.fixture(params=list(PROVIDERS))
def case(
    request: pytest.FixtureRequest, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A tenth of the sandbox's people, unless the test is marked `whole_crm`."""
    if not request.node.get_closest_marker("whole_crm"):
        monkeypatch.setattr(people, "SHARE", 0.1)
    slug = request.param
    with tenancy.scope(tenant.pk):
        server, row, credential = connected(tenant, slug, settings)
        yield Case(slug, server, tenant, credential, row)
    server.close()


LASTING = {
    "django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions", "django_q_schedule",
}  # fmt: skip
"""What migrating fills in, the same for every test."""


@pytest.fixture(scope="session", autouse=True)
def _quick_clearing() -> Iterator[None]:
    """After a test with real transactions only the tables that it filled are emptied: Django truncates all of them, which makes
    new files for each, and then fills in again what migrating does. Foreign keys are checked at the end."""

    def clear(test_case: Any) -> None:
        tables = sorted({*database.introspection.django_table_names(only_existing=True)} - LASTING)
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute("SET LOCAL dialbridge.audit_may_go = 'on'")
            cursor.execute("SELECT " + ", ".join(f'EXISTS (SELECT 1 FROM "{table}")' for table in tables))
            for table, filled in zip(tables, cursor.fetchone(), strict=True):
                if filled:
                    cursor.execute(f'DELETE FROM "{table}"')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", clear)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: Any) -> None:
    """Test databases are copies of a migrated one."""
    with django_db_blocker.unblock():
        database.settings_dict["TEST"]["TEMPLATE"] = migrated.ensure()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, freed at the end of whoever is still in it: the backend of a process that a test killed."""
    yield
    with django_db_blocker.unblock(), database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
