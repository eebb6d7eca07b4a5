"""Tries a credential before it is stored: one attempt a request, nothing shared, nothing remembered."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import requests
from django.utils import timezone

from integrations import errors
from integrations.providers.base import CrmProvider
from integrations.records.connections import Credential
from integrations.transport.hosts import check_url
from integrations.transport.reading import read_whole
from integrations.transport.tokens import TIMEOUT, token_call


class TrialApi:
    """`credential` may have been renewed on the way: store that one, since a rotated token exists nowhere else."""

    def __init__(self, provider: type[CrmProvider], credential: Credential) -> None:
        self.provider = provider
        self.credential = credential
        if provider.renewable(credential) and not (credential.access_token and provider.base_url(credential)):
            self._renew()

    def _renew(self) -> None:
        self.credential = self.provider.renew(self.credential, token_call(self.provider), timezone.now())

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
        request = requests.Request(
            method, path, params=dict(params or {}), json=json, data=data, headers=dict(headers or {})
        )
        try:
            return self._send(request, accept)
        except errors.Reconnect:
            if not self.provider.renewable(self.credential):
                raise
        self._renew()
        return self._send(request, accept)

    def _send(self, request: requests.Request, accept: Sequence[int]) -> requests.Response:
        url = request.url if request.url.startswith("http") else self.provider.base_url(self.credential) + request.url
        check_url(url, self.provider.hosts, self.provider.label)
        signed = {"Accept": "application/json", **self.provider.auth_headers(self.credential), **request.headers}
        with requests.Session() as session:
            session.trust_env = False
            try:
                response = session.request(
                    request.method or "GET",
                    url,
                    params=request.params,
                    json=request.json,
                    data=request.data or None,
                    headers=signed,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                    stream=True,
                )
                read_whole(response)
            except requests.RequestException as error:
                raise errors.Retry(
                    f"{self.provider.label} did not answer. Try again in a minute.", detail=str(error)
                ) from error
        problem = None if response.status_code in accept else self.provider.classify(response)
        if problem is not None:
            problem.hide(self.credential.hidden_texts())
            raise problem
        return response
