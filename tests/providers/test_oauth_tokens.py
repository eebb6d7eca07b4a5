"""Connecting with a refresh token, and living on with it when the access token is dead."""

from typing import Any

import pytest

from integrations import tenancy
from integrations.connecting import check, connect
from integrations.models import CrmConnection, Tenant
from integrations.registry import sandbox_class
from tests.providers.harness import serve

FORMS: dict[str, dict[str, str]] = {
    "salesforce": {
        "refresh_token": "5Aep-sandbox-refresh",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    },
    "hubspot": {"access_token": "sandbox-hubspot-access-0001", "refresh_token": "sandbox-hubspot-refresh-0001"},
    "followupboss": {"access_token": "fub_sandbox_access", "refresh_token": "fub_sandbox_refresh"},
}
ROTATION = {"salesforce": "rotate", "hubspot": "rotate_refresh_token", "followupboss": ""}


@pytest.mark.parametrize("slug", FORMS)
def test_a_connection_lives_on_its_refresh_token(tenant: Tenant, settings: Any, slug: str) -> None:
    server = serve(sandbox_class(slug))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    if ROTATION[slug]:
        server.service.faults.set([{"kind": ROTATION[slug]}])
    with tenancy.scope(tenant.pk):
        row, account = connect(tenant, slug, {"auth": "oauth", **FORMS[slug]})
        for _ in range(3):
            CrmConnection.objects.filter(pk=row.pk).update(access_token="dead-by-now")
            assert check(row).external_id == account.external_id
        stored = CrmConnection.objects.get()
    assert stored.status == "connected"
    assert stored.access_token != "dead-by-now"
    server.close()
