"""A listener for tests: iterates a stream in a thread of its own and keeps its pages, as the listening process does."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from integrations import errors
from integrations.contract.ports import ChangeStream
from integrations.providers.salesforce.provider import Provider
from integrations.records.connections import Connection
from integrations.records.events import RemoteEvent, StreamPage
from tests.providers.harness import PlainApi, token_call
from tests.providers.salesforce.world import World


class RenewingApi(PlainApi):
    """Renews a refused token once, as the transport does."""

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        try:
            return super().request(method, path, **more)
        except errors.Reconnect:
            self.credential = Provider.renew(self.credential, token_call, datetime.now(UTC))
        return super().request(method, path, **more)


class Listener:
    def __init__(self, stream: ChangeStream) -> None:
        self.stream = stream
        self.pages: list[StreamPage] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for page in self.stream.pages():
                self.pages.append(page)
        except errors.CrmError as error:
            self.error = error

    @property
    def events(self) -> list[RemoteEvent]:
        return [event for page in self.pages for event in page.events]

    @property
    def alive(self) -> list[StreamPage]:
        return [page for page in self.pages if not page.channel]

    @property
    def missed(self) -> list[StreamPage]:
        return [page for page in self.pages if page.missed]

    def positions(self) -> dict[str, Any]:
        """As a listener has stored them."""
        return {page.channel: page.position for page in self.pages if page.channel and page.position}

    def wait(self, condition: Callable[["Listener"], Any], seconds: float = 60) -> None:
        ends = time.monotonic() + seconds
        while not condition(self):
            assert self.error is None, self.error
            assert time.monotonic() < ends, f"not within {seconds} s; {self.pages}"
            time.sleep(0.01)

    def wait_for_events(self, count: int) -> list[RemoteEvent]:
        self.wait(lambda one: len(one.events) >= count)
        return self.events

    def ended(self, seconds: float = 10) -> Exception | None:
        """The error that ended it, if one did."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still listening; {self.pages}"
        return self.error

    def close(self) -> float:
        """How long it took to end."""
        started = time.monotonic()
        self.stream.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return time.monotonic() - started


class Ear:
    """Opens streams of a world and closes them in the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.listeners: list[Listener] = []
        self.apis: list[PlainApi] = []

    def listen(self, positions: Mapping[str, Any] | None = None, **settings: Any) -> Listener:
        """One that hears: it has been answered once."""
        listener = self.open(positions, **settings)
        listener.wait(lambda one: one.alive or one.events)
        return listener

    def open(self, positions: Mapping[str, Any] | None = None, **settings: Any) -> Listener:
        url = self.world.server.url
        api = RenewingApi(Provider, self.world.credential, url)
        self.apis.append(api)
        provider = Provider(Connection("c1", "t1", instance_url=url, settings=settings), api)
        listener = Listener(provider.open_stream(positions or {}))
        self.listeners.append(listener)
        return listener

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        for api in self.apis:
            api.session.close()
