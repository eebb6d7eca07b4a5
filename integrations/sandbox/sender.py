"""Delivers webhooks as a vendor does: from threads of its own, with a time-out, again after a failure, in no promised order."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

Build = Callable[[int], tuple[Mapping[str, str], bytes]]
"""Headers and body of one attempt, counted from 0: vendors that sign the time sign each attempt anew."""


@dataclass
class Sender:
    """`delays` are the seconds before each further attempt; tests make them short."""

    timeout: float = 5.0
    delays: Sequence[float] = (0.2, 1.0, 5.0)
    pace: float = 1.0
    """Factor for all delays."""
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "webhooks"), init=False)

    def send(self, url: str, build: Build, done: Callable[[int], Any] | None = None) -> None:
        """Returns at once. `done` hears the last status, 0 when nobody answered. Only loopback addresses are served."""
        if not url.startswith(("http://127.0.0.1:", "http://localhost:")):
            return
        self._pool.submit(self._deliver, url, build, done)

    def _deliver(self, url: str, build: Build, done: Callable[[int], Any] | None) -> None:
        status = 0
        for attempt in range(len(self.delays) + 1):
            if attempt:
                time.sleep(self.delays[attempt - 1] * self.pace)
            status = self._once(url, *build(attempt))
            if 200 <= status < 300 or status in {406, 410}:
                break
        if done:
            done(status)

    def _once(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            answer = requests.post(url, data=body, headers=dict(headers), timeout=self.timeout, allow_redirects=False)
        except requests.RequestException:
            return 0
        return answer.status_code

    def close(self) -> None:
        """Waits for nothing: what is on its way may still arrive."""
        self._pool.shutdown(wait=False, cancel_futures=True)
