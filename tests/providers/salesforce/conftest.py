"""A fresh organisation for each test, and a provider that is signed in to it."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from integrations.providers.salesforce.sandbox import Sandbox
from tests.providers.harness import serve
from tests.providers.salesforce.world import World


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    server = serve(Sandbox)
    settings.SALESFORCE_LOGIN_URL = server.url
    settings.SALESFORCE_TEST_LOGIN_URL = "https://test.salesforce.com"
    settings.SALESFORCE_CLIENT_ID = "sandbox-client"
    settings.SALESFORCE_CLIENT_SECRET = "sandbox-secret"
    settings.SALESFORCE_API_VERSION = "v59.0"
    world = World(server)
    yield world
    world.close()
