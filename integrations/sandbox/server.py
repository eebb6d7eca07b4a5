"""Serves the fake CRMs over real HTTP on loopback, one port each, with a control panel under `/_sandbox/`.

Control: `GET /_sandbox/` (what there is), `GET /_sandbox/requests` (counts per method and path shape), `GET|PUT /_sandbox/faults`,
`POST /_sandbox/clock {"advance": seconds}`, `GET /_sandbox/data/{collection}`, `GET /_sandbox/connect` (settings and a credential),
`GET /_sandbox/statuses` (how often each status was answered),
`POST /_sandbox/calls {"ids": [our call ids]}` (how each is held, in plain words; `/_sandbox/agreed` for what stands beside them),
`POST /_sandbox/edit|add|remove {"object", "id", "fields"}` (what somebody does in the CRM's own pages).
It is for tests, demos and benchmarks alone.
"""

import contextlib
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from integrations.sandbox.faults import Fault
from integrations.sandbox.http import Answer, Request, Service

MAX_BODY = 160 * 1024 * 1024


class SandboxServer(ThreadingHTTPServer):
    """One service on one loopback port; port 0 takes a free one."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, service: Service, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__((host, port), _Handler)
        self.service = service
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        with service.store.lock:
            service.seed()
            service.store.flush()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def start(self) -> "SandboxServer":
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.service.store.close()

    def answer(self, request: Request) -> Answer:
        with self.service.store.lock:
            if request.path.startswith("/_sandbox"):
                return self._control(request)
            self.counts[f"{request.method} {shape_of(request.path)}"] += 1
            answer = self.service.handle(request)
            self.statuses[answer.status] += 1
            self.service.store.flush()
        return answer.later() if answer.later else answer

    def _control(self, request: Request) -> Answer:
        what = request.path.removeprefix("/_sandbox").strip("/")
        service = self.service
        if what == "faults" and request.method == "PUT":
            service.faults.set(request.json())
        if what == "faults":
            return Answer(200, service.faults.as_json())
        if what == "clock" and request.method == "POST":
            service.clock.advance(float(request.json()["advance"]))
            return Answer(200, {"now": service.clock.now().isoformat()})
        if what == "requests":
            return Answer(200, dict(self.counts))
        if what == "statuses":
            return Answer(200, dict(self.statuses))
        if what == "connect":
            return Answer(
                200, {"environment": service.environment(self.url), "credential": service.credential(self.url)}
            )
        if what in {"calls", "agreed"}:
            books = self._audit if what == "calls" else self._agreed
            return Answer(200, books(request.json()["ids"]))
        if what in {"edit", "add", "remove"}:
            return self._by_hand(what, request.json())
        if what.startswith("data/"):
            return Answer(200, list(service.store.all(what.removeprefix("data/"))))
        names = service.store.collections()
        return Answer(
            200, {"service": service.slug, "collections": {name: service.store.count(name) for name in names}}
        )

    def _by_hand(self, what: str, order: dict[str, Any]) -> Answer:
        service, made = self.service, order.get("id", "")
        if what == "add":
            made = service.add(order["object"], order["fields"])
        elif what == "edit":
            service.edit(order["object"], made, order["fields"])
        else:
            service.remove(order["object"], made)
        service.store.flush()
        return Answer(200, {"id": made})

    def _agreed(self, ids: list[str]) -> dict[str, Any]:
        """By kind: what is held under each of the ids, and how many there are at all."""
        held = {
            "meetings": self.service.meetings(),
            "follow_ups": self.service.follow_ups(),
            "notes": self.service.call_summaries(),
        }
        keys = {one: self.service.key_of(one) for one in ids}
        return {
            kind: {
                "found": {one: [asdict(item) for item in items if item.key == key] for one, key in keys.items()},
                "total": len(items),
            }
            for kind, items in held.items()
        }

    def _audit(self, ids: list[str]) -> dict[str, Any]:
        found: dict[str, list[dict[str, Any]]] = {}
        for call in self.service.logged_calls():
            found.setdefault(call.key, []).append(asdict(call))
        return {
            "found": {one: found.get(self.service.key_of(one), []) for one in ids},
            "outcomes": dict(self.service.outcomes),
            "total": sum(len(calls) for calls in found.values()),
        }


def shape_of(path: str) -> str:
    """The path with ids blanked, so that counts group: `/v1/people/12` → `/v1/people/{id}`."""
    return re.sub(r"/(?=[^/]*\d)(?!v\d)[\w-]{1,18}(?=/|$)|/[0-9a-f-]{36}(?=/|$)", "/{id}", path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SandboxServer
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self._send(Answer(413, "Too large"))
            return
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        control = request.path.startswith("/_sandbox")
        fault = None if control else self._draw(request, "drop_before", "status", "html502", "slow", "hang")
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.seconds)
            fault = None
        if fault is not None:
            self._misbehave(fault)
            return
        answer = self.server.answer(request)
        if not control and self._draw(request, "drop_after") is not None:
            self._cut()
            return
        self._send(answer, whole=control or self._draw(request, "half") is None)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _draw(self, request: Request, *kinds: str) -> Fault | None:
        with self.server.service.store.lock:
            return self.server.service.faults.draw(request.method, request.path, *kinds)

    def _misbehave(self, fault: Fault) -> None:
        if fault.kind in {"drop_before", "hang"}:
            time.sleep(fault.seconds)
            self._cut()
        elif fault.kind == "html502":
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            self._send(Answer(502, page, {"Content-Type": "text/html"}))
        else:
            self._send(Answer(fault.status, fault.body, dict(fault.headers or {})))

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, answer: Answer, *, whole: bool = True) -> None:
        if isinstance(answer.body, Iterator):
            self._send_in_pieces(answer, answer.body)
            return
        body, kind = _encode(answer.body)
        self.send_response(answer.status)
        headers = {"Content-Type": kind, **answer.headers} if body else answer.headers
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if whole else body[: len(body) // 2])
        if not whole:
            self._cut()

    def _send_in_pieces(self, answer: Answer, pieces: Iterator[bytes]) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header follows the sandbox's clock, as its records do."""
        return super().date_time_string(self.server.service.clock.timestamp() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Requests are counted, not printed."""


def _encode(body: Any) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    try:
        text = json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(body).encode()  # a lone surrogate can travel only as an escape
    return text, "application/json;charset=utf-8"
