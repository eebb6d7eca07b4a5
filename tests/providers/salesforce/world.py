"""What the Salesforce tests share: a signed-in provider, calls to log, and a look behind the organisation's counter."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from integrations.providers.salesforce.defaults import DISPOSITIONS
from integrations.providers.salesforce.provider import Provider
from integrations.providers.salesforce.sandbox import Sandbox
from integrations.records.activities import CallActivity, Direction
from integrations.records.connections import Connection, Credential
from integrations.records.remote import RemoteRecord
from integrations.sandbox.server import SandboxServer
from tests.providers.harness import PlainApi, connect, token_call

HOST = "https://acme.my.salesforce.com"
DATA = "/services/data/v59.0"


class World:
    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        assert isinstance(server.service, Sandbox)
        self.sandbox: Sandbox = server.service
        self.store = server.service.store
        self._apis: list[PlainApi] = []
        refresh = Provider.parse_credential({"auth": "oauth", "refresh_token": "5Aep-sandbox-refresh"})
        self.credential: Credential = Provider.renew(refresh, token_call, datetime.now(UTC))

    def close(self) -> None:
        for api in self._apis:
            api.session.close()
        self.server.close()

    def connect(self, **connection: Any) -> tuple[Provider, PlainApi]:
        """A new provider, as another process would have it."""
        parts = {"instance_url": self.server.url, **connection}
        provider, api = connect(Provider, self.server, self.credential, **parts)
        assert isinstance(provider, Provider)
        self._apis.append(api)
        return provider, api

    def prepared(self, **connection: Any) -> tuple[Provider, PlainApi]:
        """One whose account has the dialer's fields."""
        provider, _ = self.connect()
        return self.connect(metadata=provider.prepare(), **connection)

    def dial(self, *dials: Mapping[str, Any]) -> None:
        requests.put(f"{self.server.url}/_sandbox/faults", json=list(dials), timeout=5).raise_for_status()

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """A request of our own, past the provider."""
        headers = {**Provider.auth_headers(self.credential), **more.pop("headers", {})}
        return requests.request(method, self.server.url + path, headers=headers, timeout=5, **more)

    def soql(self, query: str, *, path: str = "query") -> requests.Response:
        return self.ask("GET", f"{DATA}/{path}", params={"q": query})

    def people(self, object_type: str, *paths: str) -> list[RemoteRecord]:
        provider, _ = self.connect()
        return [record for page in provider.changes(object_type, None, paths) for record in page.records]

    def lead(self, place: int = 0) -> str:
        """The id of a lead that can be called."""
        return str([row["Id"] for row in self.store.all("Lead") if not row["IsConverted"]][place])

    def contact(self, place: int = 0) -> str:
        return str([row["Id"] for row in self.store.all("Contact")][place])

    def change(self, object_type: str, record_id: str, *, seconds_ago: float = 30, **values: Any) -> None:
        """Somebody edits a record, a little in the past, so that the next window reaches it."""
        self.sandbox.clock.advance(-seconds_ago)
        try:
            self.ask("PATCH", f"{DATA}/sobjects/{object_type}/{record_id}", json=values).raise_for_status()
        finally:
            self.sandbox.clock.advance(seconds_ago)

    def convert(self, lead_id: str) -> str:
        """The contact that a lead becomes; what an administrator does with a click."""
        lead = self.store.get("Lead", lead_id) or {}
        contact_id = self.contact()
        self.sandbox.org.save("Lead", {**lead, "IsConverted": True, "ConvertedContactId": contact_id})
        return contact_id

    def tasks(self) -> list[dict[str, Any]]:
        return list(self.store.all("Task"))


def offline(**metadata: Any) -> Provider:
    """A provider for answers that a test makes up."""
    credential = Credential("oauth", access_token="00D!x", instance_url=HOST)
    return Provider(Connection("c", "t", instance_url=HOST, metadata=metadata), PlainApi(Provider, credential, HOST))


def call(key: str, record_id: str, **more: Any) -> CallActivity:
    values: dict[str, Any] = {
        "key": key,
        "object_type": "Contact" if record_id.startswith("003") else "Lead",
        "record_id": record_id,
        "direction": Direction.OUTBOUND,
        "started_at": datetime(2026, 3, 2, 23, 30, tzinfo=UTC),
        "duration_seconds": 342,
        "disposition": "Connected",
        "outcome": DISPOSITIONS["Connected"],
        "subject": "Call - Connected",
        "notes": "Discussed pricing.",
    }
    return CallActivity(**{**values, **more})
