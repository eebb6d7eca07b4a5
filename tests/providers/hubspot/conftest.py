from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot import outcomes
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox import Sandbox
from integrations.providers.hubspot.sandbox.portal import (
    CLIENT_ID,
    CLIENT_SECRET,
    LIMITED_TOKEN,
    PORTAL_ID,
    PRIVATE_TOKEN,
)
from integrations.records.connections import Connection, Credential
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store
from tests.providers.harness import PlainApi


class PatientApi(PlainApi):
    """Waits as long as an answer asks for, on the sandbox's clock, when a quota is used up."""

    clock: Clock

    def request(self, method: str, path: str, **options: Any) -> Any:
        while True:
            try:
                return super().request(method, path, **options)
            except errors.Throttled as error:
                self.clock.advance(error.after or 0.0)


class World:
    """A sandbox portal and what looks at it."""

    def __init__(self) -> None:
        self.portal = Sandbox(Store(), Clock(), Faults())
        self.server = SandboxServer(self.portal).start()

    def connect(self, token: str = PRIVATE_TOKEN, **metadata: Any) -> Provider:
        """A provider as another process would open it, remembering what `metadata` says."""
        return self.connect_as(Credential(auth="private_app", access_token=token), **metadata)

    def checking(self, token: str = PRIVATE_TOKEN, **metadata: Any) -> Provider:
        """A provider whose tenant lets nobody create anything in the portal."""
        provider = self.connect(token, **metadata)
        provider.connection = replace(provider.connection, settings={"check_only": True})
        return provider

    def connect_as(self, credential: Credential, **metadata: Any) -> Provider:
        api = PatientApi(Provider, credential, self.server.url)
        api.clock = self.portal.clock
        connection = Connection(id="c1", tenant_id="t1", account_id=str(PORTAL_ID), metadata=metadata)
        return Provider(connection, api)

    def prepared(self, token: str = PRIVATE_TOKEN) -> Provider:
        return self.connect(token, **self.connect(token).prepare())

    def fault(self, kind: str, **dial: Any) -> None:
        self.portal.faults.set([{"kind": kind, "times": 1, **dial}])

    def calls(self) -> list[dict[str, Any]]:
        """The calls of the portal, each with the ids of its contacts."""
        with self.portal.store.lock:
            return [
                {**call, "contacts": list(self.portal.links["calls", call["id"]]["contacts"])}
                for call in self.portal.store.all("calls")
            ]

    def contact_ids(self) -> list[str]:
        with self.portal.store.lock:
            return [contact["id"] for contact in self.portal.store.all("contacts")]

    def ids(self, kind: str) -> list[str]:
        with self.portal.store.lock:
            return [one["id"] for one in self.portal.store.all(kind)]

    def held(self, kind: str, record_id: str) -> dict[str, str]:
        """The properties of a record as the portal keeps them."""
        with self.portal.store.lock:
            found = self.portal.store.get(kind, record_id)
            assert found
            return dict(found["properties"])

    def addressed(self) -> list[str]:
        """Ids of contacts that have an e-mail address."""
        return [one for one in self.contact_ids() if self.held("contacts", one).get("email")]

    def edit(self, contact_id: str, **properties: str) -> None:
        """A change in HubSpot that searches do not see yet."""
        with self.portal.store.lock:
            contact = self.portal.store.get("contacts", contact_id)
            assert contact
            self.portal.change(contact, properties)


def sent(provider: Provider) -> list[str]:
    """The requests of a provider so far."""
    assert isinstance(provider.api, PlainApi)
    return provider.api.calls


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    outcomes._kept.clear()
    world = World()
    settings.HUBSPOT_API_URL = world.server.url
    settings.HUBSPOT_CLIENT_ID = CLIENT_ID
    settings.HUBSPOT_CLIENT_SECRET = CLIENT_SECRET
    yield world
    world.server.close()


@pytest.fixture
def limited(world: World) -> Provider:
    """Opened with a token that may only read and write contacts."""
    return world.connect(LIMITED_TOKEN)
