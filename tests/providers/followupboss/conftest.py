"""A fresh fake Follow Up Boss for each test, providers that are connected to it, and somebody who listens to its webhooks."""

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

import pytest
import requests
from pytest_django.fixtures import Settings

from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import Sandbox, seed
from integrations.records.connections import Credential
from integrations.sandbox.server import SandboxServer
from tests.providers.harness import PlainApi, connect, serve

Connect = Callable[..., tuple[Provider, PlainApi]]
Ask = Callable[..., requests.Response]
SYSTEM = {"X-System": "Dialbridge", "X-System-Key": "demo-system-key"}


@pytest.fixture
def server(settings: Settings) -> Iterator[SandboxServer]:
    running = serve(Sandbox)
    settings.FOLLOWUPBOSS_API_URL = f"{running.url}/v1"
    settings.FOLLOWUPBOSS_TOKEN_URL = f"{running.url}/oauth/token"
    settings.FOLLOWUPBOSS_AUTHORIZE_URL = f"{running.url}/oauth/authorize"
    settings.FOLLOWUPBOSS_SYSTEM = "Dialbridge"
    settings.FOLLOWUPBOSS_SYSTEM_KEY = "demo-system-key"
    settings.FOLLOWUPBOSS_CLIENT_ID = seed.CLIENT_ID
    settings.FOLLOWUPBOSS_CLIENT_SECRET = seed.CLIENT_SECRET
    yield running
    sandbox_of(running).sender.close()
    running.close()


def sandbox_of(server: SandboxServer) -> Sandbox:
    return cast("Sandbox", server.service)


@pytest.fixture
def connected(server: SandboxServer) -> Connect:
    def build(key: str = seed.OWNER_KEY, **connection: Any) -> tuple[Provider, PlainApi]:
        provider, api = connect(Provider, server, api_key(key), **connection)
        return cast("Provider", provider), api

    return build


@pytest.fixture
def ask(server: SandboxServer) -> Ask:
    """Asks the fake service itself, as the owner of a registered system unless told otherwise."""

    def send(method: str, path: str, *, key: str = seed.OWNER_KEY, **options: Any) -> requests.Response:
        options = {"auth": (key, ""), "headers": SYSTEM, "timeout": 5, **options}
        return requests.request(method, f"{server.url}/v1{path}", **options)

    return send


def api_key(key: str) -> Credential:
    return Provider.parse_credential({"auth": "api_key", "api_key": key})


class Ear(ThreadingHTTPServer):
    """Keeps every delivery. `answers` are the statuses of the next ones, then 200; `delays` their seconds of silence."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _EarHandler)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.delays: list[float] = []
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, token: str = "token-1") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/webhooks/followupboss/{token}/"

    def wait(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """At least so many deliveries; fewer fail the test."""
        deadline = time.monotonic() + 5
        while len(self.heard) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.heard) >= count
        return self.heard


class _EarHandler(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(({key.lower(): value for key, value in self.headers.items()}, body))
        time.sleep(self.server.delays.pop(0) if self.server.delays else 0)
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Deliveries are kept, not printed."""


@pytest.fixture
def ear() -> Iterator[Ear]:
    listening = Ear()
    yield listening
    listening.shutdown()
    listening.server_close()
