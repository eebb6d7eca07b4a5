from collections.abc import Iterator
from typing import Any

import pytest

from integrations import tenancy
from integrations.models import Tenant
from integrations.registry import PROVIDERS
from integrations.sandbox import people
from tests.providers.case import Case
from tests.providers.connected import connected


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
