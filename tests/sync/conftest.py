from collections.abc import Iterator

import pytest

from integrations import tenancy
from integrations.models import CrmConnection


@pytest.fixture
def scoped(connection: CrmConnection) -> Iterator[CrmConnection]:
    """The connection, inside its tenant's scope."""
    with tenancy.scope(connection.tenant_id):
        yield connection
