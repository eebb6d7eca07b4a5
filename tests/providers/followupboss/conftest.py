"""A fresh fake Follow Up Boss for each test, and providers that are connected to it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations.providers.base import CrmProvider
from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import Sandbox, seed
from integrations.records import Credential
from integrations.sandbox.server import SandboxServer
from tests.providers.harness import PlainApi, connect, serve

Connect = Callable[..., tuple[CrmProvider, PlainApi]]


@pytest.fixture
def server(settings: Settings) -> Iterator[SandboxServer]:
    running = serve(Sandbox)
    settings.FOLLOWUPBOSS_API_URL = f"{running.url}/v1"
    settings.FOLLOWUPBOSS_TOKEN_URL = f"{running.url}/oauth/token"
    settings.FOLLOWUPBOSS_SYSTEM = "Dialbridge"
    settings.FOLLOWUPBOSS_SYSTEM_KEY = "demo-system-key"
    settings.FOLLOWUPBOSS_CLIENT_ID = seed.CLIENT_ID
    settings.FOLLOWUPBOSS_CLIENT_SECRET = seed.CLIENT_SECRET
    yield running
    running.close()


@pytest.fixture
def connected(server: SandboxServer) -> Connect:
    def build(key: str = seed.OWNER_KEY, **connection: Any) -> tuple[CrmProvider, PlainApi]:
        return connect(Provider, server, api_key(key), **connection)

    return build


def api_key(key: str) -> Credential:
    return Provider.parse_credential({"auth": "api_key", "api_key": key})
