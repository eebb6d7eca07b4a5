from collections.abc import Iterator
from typing import Any

import pytest

from integrations import tenancy
from integrations.connecting import connect
from integrations.models import Tenant
from integrations.registry import PROVIDERS, sandbox_class
from integrations.sandbox import people
from tests.providers.case import Case
from tests.providers.harness import serve


@pytest.fixture(params=list(PROVIDERS))
def case(
    request: pytest.FixtureRequest, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A tenth of the sandbox's people, unless the test is marked `whole_crm`."""
    if not request.node.get_closest_marker("whole_crm"):
        monkeypatch.setattr(people, "SHARE", 0.1)
    slug = request.param
    server = serve(sandbox_class(slug))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    with tenancy.scope(tenant.pk):
        credential = server.service.credential(server.url)
        row, _account = connect(tenant, slug, credential)
        yield Case(slug, server, tenant, credential, row)
    server.close()
