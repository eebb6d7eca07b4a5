from collections.abc import Iterator

import pytest

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from mapping.publishing import add_defaults
from tests.fake_crm.provider import FakeService


@pytest.fixture
def scoped(connection: CrmConnection) -> Iterator[CrmConnection]:
    """The connection, inside its tenant's scope."""
    with tenancy.scope(connection.tenant_id):
        yield connection


@pytest.fixture
def crm(scoped: CrmConnection) -> CrmConnection:
    """The connection with the default mapping in force."""
    add_defaults(scoped)
    return scoped


@pytest.fixture
def service(fake_crm: SandboxServer) -> FakeService:
    """The fake CRM behind the connection, to change what it holds."""
    assert isinstance(fake_crm.service, FakeService)
    return fake_crm.service
