"""The way of the webhooks: between the CRMs and us, losing answers, delivering twice, late and out of order.

It remembers what was acknowledged; that has to be applied.
"""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any

import requests

LATE, TWICE, ANSWER_LOST = 0.2, 0.2, 0.05
LONGEST_DELAY = 4.0
KEPT = ("content-length", "connection", "host", "transfer-encoding")
"""Headers that belong to one hop."""


class Wire:
    def __init__(self, port: int, webs: list[str], seed: int) -> None:
        self.webs = webs
        self.acknowledged: list[tuple[str, bytes]] = []
        """Path and body of each delivery that was answered with 200."""
        self.statuses: Counter[int] = Counter()
        """What we answered; 0 when nobody did."""
        self.seen: Counter[str] = Counter()
        self._random, self._lock = Random(seed), threading.Lock()
        handler = type("Handler", (_Handler,), {"wire": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True

    def __enter__(self) -> "Wire":
        threading.Thread(target=self._server.serve_forever, daemon=True, name="wire").start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def deliver(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status that the CRM sees."""
        if self._happens(LATE, "late"):
            time.sleep(self._random.random() * LONGEST_DELAY)
        status = self._forward(path, headers, body)
        if self._happens(TWICE, "twice"):
            timer = threading.Timer(self._random.random() * LONGEST_DELAY, self._forward, (path, headers, body))
            timer.daemon = True
            timer.start()
        return 0 if self._happens(ANSWER_LOST, "answer lost") else status

    def _happens(self, chance: float, what: str) -> bool:
        with self._lock:
            struck = self._random.random() < chance
            self.seen[what] += struck
        return struck

    def _forward(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            web = self._random.choice(self.webs)
        try:
            answer = requests.post(web + path, data=body, headers=headers, timeout=30, allow_redirects=False)
            status = answer.status_code
        except requests.RequestException:
            status = 0
        with self._lock:
            self.statuses[status] += 1
            if status == 200:
                self.acknowledged.append((path, body))
        return status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: Wire

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in KEPT}
        status = self.wire.deliver(self.path, headers, body)
        try:
            self.send_response(status or 502)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            self.close_connection = True  # the CRM did not wait

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Counted, not printed."""
