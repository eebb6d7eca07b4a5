"""Runs a provider against its sandbox over real HTTP without a database: one attempt a request, no limiter, no breaker."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests

from integrations import errors
from integrations.providers.base import CrmProvider
from integrations.records.connections import Connection, Credential
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Service
from integrations.sandbox.server import SandboxServer
from integrations.sandbox.store import Store


class PlainApi:
    """The smallest honest `Api`: signs, sends once, classifies."""

    def __init__(self, provider: type[CrmProvider], credential: Credential, base_url: str) -> None:
        self.provider = provider
        self.credential = credential
        self.base_url = base_url
        self.calls: list[str] = []
        self.session = requests.Session()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        accept: Sequence[int] = (),
        read_timeout: float | None = None,
        stream: bool = False,
    ) -> requests.Response:
        self.calls.append(f"{method} {path}")
        url = path if path.startswith("http") else self.base_url + path
        signed = {**self.provider.auth_headers(self.credential), **(headers or {})}
        try:
            response = self.session.request(
                method,
                url,
                params=dict(params or {}),
                json=json,
                data=data,
                headers=signed,
                timeout=read_timeout or 10,
                allow_redirects=False,
                stream=stream,
            )
        except requests.RequestException as error:
            safe = method == "GET" if repeatable is None else repeatable
            kind = errors.Retry if safe else errors.OutcomeUnknown
            raise kind("No answer.", detail=str(error)) from error
        problem = self.provider.classify(response)
        if problem is not None and response.status_code not in accept:
            if isinstance(problem, errors.Retry) and response.status_code >= 500 and method != "GET" and not repeatable:
                raise errors.OutcomeUnknown(problem.message, detail=problem.detail, status=problem.status)
            raise problem
        return response


def token_call(
    url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None, method: str = "POST"
) -> requests.Response:
    return requests.request(method, url, data=dict(form), auth=basic, timeout=10, allow_redirects=False)


def serve(service: type[Service]) -> SandboxServer:
    """A fresh, seeded sandbox of this service on a free port. The caller closes it."""
    return SandboxServer(service(Store(), Clock(), Faults())).start()


def connect(
    provider: type[CrmProvider], server: SandboxServer, credential: Credential, **connection: Any
) -> tuple[CrmProvider, PlainApi]:
    """A provider instance that talks to the sandbox, and the api that counts its requests."""
    api = PlainApi(provider, credential, provider.base_url(credential))
    return provider(Connection(id="c1", tenant_id="t1", **connection), api), api


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
