"""The one path to a CRM: token → rate limit → breaker → send → classify → retry or raise → record.

Every request of every provider goes through `CrmApi`. It waits in place only as long as its `Patience` allows; a longer wait
is raised with the seconds to wait, and the job comes back then.
"""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import requests
from django.utils import timezone
from requests.adapters import HTTPAdapter

from integrations import errors, exchanges
from integrations.exchanges import Exchange
from integrations.providers.base import CrmProvider
from integrations.records.connections import Credential
from integrations.records.limits import RateLimit
from integrations.transport import breaker, limits, outcome, retry, usage
from integrations.transport.classify import ELSEWHERE, retry_after
from integrations.transport.hosts import check_url
from integrations.transport.limits import Share
from integrations.transport.reading import read_whole
from integrations.transport.tokens import Opened, fresh_credential, refuse_connection

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
LONGEST_PAUSE_OF_A_DAY = 900.0
"""Seconds after which work that stopped for the day looks again: somebody may have raised the budget."""
STOPPED = {
    limits.DAILY_BUDGET: "The daily budget of requests to {crm} is used up. Loading goes on tomorrow, or with a larger budget.",
    limits.DAILY_QUOTA: "What is left of the daily quota of {crm} is kept for more urgent work. The rest goes on when it is free.",
}
RENEWALS = 2
"""A fresh token may be refused once: another process may have renewed it a moment before."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a caller may be held up in one place: for its turn, and for a retry of a repeatable request."""

    turn: float
    retry: float
    urgent: bool = False
    """Goes through an open breaker, and may take the share of a quota that is kept for such requests."""
    share: Share = limits.OTHER
    """For what kind of work, and how much of the quotas that may take."""


WORKER = Patience(turn=3.0, retry=1.5)
"""A worker holds other people's work up: it waits for its turn a moment, tries once more, and leaves the rest to the job table.

Without the second try a service that stumbles now and then would use up the tries of whole batches; one that is down opens its
breaker soon, so that nobody waits for it."""
PERSON = Patience(turn=5.0, retry=2.5)
"""Somebody looks at the screen."""
COMMAND = Patience(turn=60.0, retry=20.0)
"""A command in a terminal has nothing else to do."""


class CrmApi:
    """Signed, limited, breakered and counted HTTP for one connection.

    Not shared between threads, but for one request: a stream is told to end by a second thread while the first one waits for
    the answer to its poll.
    """

    def __init__(
        self,
        connection_id: UUID,
        provider: type[CrmProvider],
        settings: Mapping[str, Any],
        patience: Patience,
        zone: str = "UTC",
        secrets: Sequence[str] = (),
    ):
        """`zone` is where the connection's day begins and ends. `secrets` must never be kept, beside those of the credential."""
        self.connection_id = connection_id
        self.provider = provider
        self.patience = patience
        self.calls = 0
        self._limits = {limit.bucket: limit for limit in configured_limits(provider, settings)}
        self._shared = frozenset(limit.bucket for limit in provider.default_limits if limit.shared)
        self._secrets = tuple(secrets)
        self._opened = Opened()
        self._budget, self._zone = usage.budget_of(settings), zone
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc must not replace our own credentials
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=4, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

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
        order = _Order(
            requests.Request(
                method, path, params=dict(params or {}), json=json, data=data, headers=dict(headers or {})
            ),
            method == "GET" if repeatable is None else repeatable,
            accept,
            read_timeout or READ_TIMEOUT,
            stream,
        )
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(order)
            except errors.Retry as error:
                wait = retry.delay(attempt, after=error.after, random=random.random())  # noqa: S311 - jitter
                hopeless = isinstance(error, errors.OutcomeUnknown) or retry.exhausted(attempt) or order.once
                if hopeless or wait > self.patience.retry:
                    raise
                time.sleep(wait)

    def _attempt(self, order: "_Order", *, refused: str = "", renewals: int = RENEWALS) -> requests.Response:
        """One try, and another with a renewed token while the token is refused; in the end the connection is stopped."""
        credential = fresh_credential(self.connection_id, self.provider, refused=refused, opened=self._opened)
        try:
            return self._send(order, credential)
        except errors.Reconnect as refusal:
            if not self.provider.renewable(credential):
                refuse_connection(self.connection_id, refusal)
                raise
            if order.once:
                fresh_credential(self.connection_id, self.provider, refused=credential.access_token)
                raise errors.Retry("The access token had run out. It is renewed; the upload starts over.") from refusal
            if not renewals:
                refuse_connection(self.connection_id, refusal)
                raise
        return self._attempt(order, refused=credential.access_token, renewals=renewals - 1)

    def _send(self, order: "_Order", credential: Credential) -> requests.Response:
        prepared = self._sign(order.request, credential)
        buckets = self.provider.buckets(prepared.method or "", prepared.path_url)
        self._wait_for_turn(buckets)
        self._ask_breaker()
        started = time.monotonic()
        try:
            response = self._session.send(
                prepared, timeout=(CONNECT_TIMEOUT, order.read_timeout), allow_redirects=False, stream=True
            )
            if not order.stream or response.status_code >= 400:
                read_whole(response)
        except requests.ConnectTimeout as error:
            raise self._lost(error, started, prepared, credential, sent=False) from error
        except requests.RequestException as error:
            raise self._lost(error, started, prepared, credential, sent=not order.repeatable) from error
        return self._judge(response, buckets, order, started, credential)

    def _sign(self, request: requests.Request, credential: Credential) -> requests.PreparedRequest:
        url = request.url if request.url.startswith(("http://", "https://")) else self._base(credential) + request.url
        check_url(url, self.provider.hosts, self.provider.label)
        signed = requests.Request(
            request.method,
            url,
            params=request.params,
            json=request.json,
            data=request.data,
            headers={"Accept": "application/json", **self.provider.auth_headers(credential), **request.headers},
        )
        return self._session.prepare_request(signed)

    def _base(self, credential: Credential) -> str:
        return self.provider.base_url(credential)

    def _wait_for_turn(self, buckets: Sequence[str]) -> None:
        known = [self._limits.get(bucket) or RateLimit(bucket, 1_000_000, 1.0) for bucket in buckets]
        if known:
            known += [limit for limit in self._limits.values() if limit.shared and limit.bucket not in buckets]
            self._ask_day()
        slot = limits.wait_for_turn(
            str(self.connection_id),
            known,
            max_wait=self.patience.turn,
            urgent=self.patience.urgent,
            share=self.patience.share,
        )
        if slot.wait < 0:
            raise errors.Throttled(
                f"This connection has used its share of requests to {self.provider.label} for now.", after=-slot.wait
            )

    def _ask_day(self) -> None:
        now = timezone.now()
        began, ends = usage.day_of(self._zone, now)
        cause = limits.over_for_today(str(self.connection_id), self.patience.share, self._budget, began)
        if cause:
            wait = min((ends - now).total_seconds(), LONGEST_PAUSE_OF_A_DAY)
            raise errors.Throttled(STOPPED[cause].format(crm=self.provider.label), after=max(wait, 1.0), cause=cause)

    def _ask_breaker(self) -> None:
        if self.patience.urgent:
            return  # its answer is a probe as good as any
        wait = breaker.enter(str(self.connection_id))
        if wait > 0:
            raise errors.BreakerOpen(
                f"{self.provider.label} failed several times in a row. We ask again in {wait:.0f} seconds.", after=wait
            )

    def _lost(
        self,
        error: requests.RequestException,
        started: float,
        prepared: requests.PreparedRequest,
        credential: Credential,
        *,
        sent: bool,
    ) -> errors.Retry:
        self.calls += 1
        counted = usage.counted(seconds=time.monotonic() - started, failed=True, work=self.patience.share.work)
        outcome.tell(self.connection_id, healthy=False, error=type(error).__name__, counted=counted)
        kind = errors.OutcomeUnknown if sent else errors.Retry
        problem = kind(f"{self.provider.label} gave no answer.", detail=f"{type(error).__name__}: {error}")
        self._note(prepared, None, problem, started, credential)
        return problem

    def _judge(
        self,
        response: requests.Response,
        buckets: Sequence[str],
        order: "_Order",
        started: float,
        credential: Credential,
    ) -> requests.Response:
        self.calls += 1
        problem = None if response.status_code in order.accept else self.provider.classify(response)
        if problem is not None:
            problem.hide(credential.hidden_texts())
        throttled = isinstance(problem, errors.Throttled)
        stumbled = isinstance(problem, errors.Retry) and not throttled and _is_outage(response)
        hints = self.provider.rate_hints(response, buckets)
        counted = usage.counted(
            seconds=time.monotonic() - started,
            status=str(response.status_code),
            failed=stumbled,
            throttled=throttled,
            work=self.patience.share.work,
        )
        outcome.tell(
            self.connection_id,
            healthy=not stumbled,
            error=problem.message if problem else "",
            hints=hints,
            shared=self._shared,
            counted=counted if buckets else None,  # what counts in no bucket is no API request: a held poll of a stream
        )
        if buckets or problem is not None:
            self._note(response.request, response, problem, started, credential, streamed=order.stream)
        if problem is None:
            return response
        if isinstance(problem, errors.Throttled):
            problem.after = problem.after or retry_after(response) or 10.0
            used_up = [hint.bucket for hint in hints if hint.remaining == 0 and hint.bucket in self._shared]
            limits.close(str(self.connection_id), [*buckets[:1], *used_up], problem.after, shared=self._shared)
        if stumbled and not order.repeatable:
            # A server error may follow the write: only a look-up tells.
            raise errors.OutcomeUnknown(problem.message, detail=problem.detail, status=problem.status)
        raise problem

    def _note(
        self,
        prepared: requests.PreparedRequest,
        response: requests.Response | None,
        problem: errors.CrmError | None,
        started: float,
        credential: Credential,
        *,
        streamed: bool = False,
    ) -> None:
        exchanges.note(
            Exchange(
                self.connection_id,
                prepared,
                response,
                problem,
                seconds=time.monotonic() - started,
                work=self.patience.share.work,
                reads=self.provider.reads(prepared.method or "", prepared.path_url),
                in_masses=self.patience.share.in_budget,
                streamed=streamed,
                secrets=(*credential.hidden_texts(), *self._secrets),
            )
        )


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for, through all its tries."""

    request: requests.Request
    repeatable: bool
    accept: Sequence[int]
    read_timeout: float
    stream: bool

    @property
    def once(self) -> bool:
        """A body that is read while it is sent is gone after the first try."""
        return self.request.data is not None and not isinstance(self.request.data, bytes | list | dict)


def _is_outage(response: requests.Response) -> bool:
    """Whether the service itself is unwell; a locked row or a slow query is not."""
    return response.status_code >= 500 or response.status_code == 420 or response.status_code in ELSEWHERE


def configured_limits(provider: type[CrmProvider], settings: Mapping[str, Any]) -> list[RateLimit]:
    """The provider's limits, with what the connection's settings say instead: `{"rate_limits": {"default": [90, 10]}}`."""
    chosen = settings.get("rate_limits") or {}
    return [
        replace(limit, limit=int(chosen[limit.bucket][0]), seconds=float(chosen[limit.bucket][1]))
        if limit.bucket in chosen and not limit.shared
        else limit
        for limit in provider.default_limits
    ]
