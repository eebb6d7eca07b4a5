"""The dialer in front of several web hosts: one after the other, and the next one when one does not answer."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import requests

from config.demo.story import DemoTenant, PostedCall
from tests.live.fire import body_of, dialable

PATIENCE = 5.0
AT_ONCE = 8


class RoundRobin:
    """What a load balancer does, and a dialer that posts again until it is answered."""

    def __init__(self, webs: Sequence[str]) -> None:
        self._webs, self._turn, self._lock = list(webs), count(), threading.Lock()
        self._benched: dict[str, float] = {}
        self._lines = threading.local()
        self.answers: Counter[str] = Counter()

    def post(self, path: str, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        while True:
            web = self._next()
            try:
                answer = self._session().post(
                    f"{web}{path}", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=(1.0, PATIENCE)
                )
            except requests.RequestException:
                self._bench(web, "no answer")
                continue
            self._note(str(answer.status_code))
            if answer.status_code < 500:
                answer.raise_for_status()
                return dict(answer.json())

    def _next(self) -> str:
        now = time.monotonic()
        while True:
            web = self._webs[next(self._turn) % len(self._webs)]
            if self._benched.get(web, 0.0) <= now or len(self._benched) == len(self._webs):
                return web

    def _bench(self, web: str, why: str) -> None:
        """A host that did not answer is left out for some seconds."""
        self._note(why)
        self._benched[web] = time.monotonic() + 5.0

    def _note(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1

    def _session(self) -> requests.Session:
        if not hasattr(self._lines, "session"):
            self._lines.session = requests.Session()
        session: requests.Session = self._lines.session
        return session


class Dialer:
    """Posts calls of several tenants, a pace of so many a second, and notes what it was promised."""

    def __init__(self, way: RoundRobin, people: Mapping[str, Sequence[Mapping[str, Any]]], *, prefix: str) -> None:
        self._way, self._prefix = way, prefix
        self._on = {slug: dialable(contacts) for slug, contacts in people.items()}
        self._number: Counter[str] = Counter()
        self.posted: dict[str, list[PostedCall]] = {slug: [] for slug in people}
        self.slowest = 0.0

    def backlog(self, tenant: DemoTenant, calls: int, *, disposition: str, at_once: int = 200) -> None:
        for _ in range(0, calls, at_once):
            bodies = [self._body(tenant) | {"disposition": disposition} for _ in range(at_once)]
            found = self._way.post("/api/v1/calls/bulk/", {"calls": bodies}, tenant.api_key)
            for body, one in zip(bodies, found["results"], strict=True):
                self._keep(tenant, str(one["id"]), body)

    def steadily(
        self, tenants: Sequence[DemoTenant], *, seconds: float, pace: float, meanwhile: Callable[[float], None]
    ) -> None:
        """`meanwhile` is told the time since the start, now and then."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            started, sent = time.monotonic(), []
            for at, tenant in self._beats(tenants, seconds, pace):
                while (now := time.monotonic() - started) < at:
                    meanwhile(now)
                    time.sleep(min(0.05, max(0.0, at - now)))
                sent.append(pool.submit(self._one, tenant))
            for one in sent:
                one.result()

    @staticmethod
    def _beats(tenants: Sequence[DemoTenant], seconds: float, pace: float) -> Iterator[tuple[float, DemoTenant]]:
        for number in range(int(seconds * pace)):
            yield number / pace, tenants[number % len(tenants)]

    def _one(self, tenant: DemoTenant) -> None:
        body, started = self._body(tenant), time.monotonic()
        found = self._way.post("/api/v1/calls/", body, tenant.api_key)
        self._keep(tenant, str(found["id"]), body)
        self.slowest = max(self.slowest, time.monotonic() - started)

    def _body(self, tenant: DemoTenant) -> dict[str, Any]:
        number = self._number[tenant.slug]
        self._number[tenant.slug] += 1
        on = self._on[tenant.slug]
        return body_of(tenant, number, on[(number * 7) % len(on)], self._prefix, agreed=False)

    def _keep(self, tenant: DemoTenant, call_id: str, body: Mapping[str, Any]) -> None:
        self.posted[tenant.slug].append(PostedCall(call_id, body["crm_record_id"], body["disposition"]))
