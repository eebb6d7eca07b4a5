"""Deliveries over real HTTP: what a server makes of odd requests, and what becomes of one while the database is stopped."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from config import embedded_postgres
from config.processes import ROOT, Processes, free_port
from integrations.sandbox.server import SandboxServer
from tests.fake_crm.events import event, signed
from tests.sync.processes import wait_until

PUBLIC = "https://dialer.example.com"


@dataclass
class Site:
    """A web process with a database of its own, and the path of one connection's address."""

    processes: Processes
    url: str
    path: str
    root: Path
    api_key: str

    def send(self, body: bytes, *, headers: dict[str, str] | None = None) -> requests.Response:
        signs = signed(PUBLIC + self.path, body) if headers is None else headers
        return requests.post(self.url + self.path, data=body, headers=signs, timeout=30)

    def raw(self, text: bytes, *, hang_up: bool = False) -> bytes:
        """Sends these very bytes and gives the first line of the answer; empty when there is none."""
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            try:
                wire.sendall(text)
                if hang_up:
                    wire.shutdown(socket.SHUT_WR)
                return wire.recv(65536).split(b"\r\n")[0]
            except ConnectionError:
                return b""

    def keys(self) -> list[str]:
        cluster = embedded_postgres.ensure_running(self.root)
        with psycopg.connect(cluster.url("dialbridge")) as connection:
            return [row[0] for row in connection.execute("SELECT dedupe_key FROM inbox_events ORDER BY id")]


@pytest.fixture
def site(fake_crm: SandboxServer, tmp_path: Path) -> Iterator[Site]:
    env = {
        "DATA_DIR": str(tmp_path), "DATABASE_URL": "", "DEBUG": "true", "PUBLIC_URL": PUBLIC, "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.live.fakecrm_settings",
        "CRM_ALLOWED_HOSTS": fake_crm.url.removeprefix("http://"),
    }  # fmt: skip
    credential = {
        "auth": "oauth",
        "access_token": "access-0",
        "refresh_token": "refresh-0",
        "instance_url": fake_crm.url,
    }
    with Processes(env, tmp_path / "logs") as processes:
        processes.run("migrate", "--verbosity", "0")
        api_key = json.loads(processes.run("create_tenant", "acme", "--json"))["api_key"]
        made: dict[str, Any] = json.loads(
            processes.run("connect_crm", "acme", "fakecrm", "--json", stdin=json.dumps(credential))
        )
        path = made["webhook_url"].removeprefix(PUBLIC)
        yield Site(processes, processes.start_web(free_port(0)), path, tmp_path, api_key)
    embedded_postgres.stop(tmp_path)


def told(*keys: str) -> bytes:
    return json.dumps([event(key, "7") for key in keys]).encode()


def request(path: str, headers: dict[str, str], body: bytes, host: str = "internal") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.live
@pytest.mark.thorough
def test_deliveries_over_http(site: Site) -> None:
    """One start for all: the database of its own costs seconds."""
    query = "?next=%2Fa%3Ab%2Cc%40d&plus=a+b%20c&%C3%BC=%fc&empty="
    asked = told("query")
    signs = {**signed(PUBLIC + site.path + query, asked), "Content-Length": str(len(asked))}
    assert b" 200 " in site.raw(request(site.path + query, signs, asked)), "not a byte of the query may change"
    assert site.send(told("forged"), headers={}).status_code == 401

    body = told("chunked")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    signs = signed(PUBLIC + site.path, body)
    assert b" 200 " in site.raw(request(site.path, {**signs, "Transfer-Encoding": "chunked"}, chunks))
    endless = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = site.raw(request(site.path, {"Transfer-Encoding": "chunked"}, endless * 2 + b"0\r\n\r\n"))
    assert b" 413 " in answer or answer == b"", "the server may hang up on what it will not read"

    short, long, huge = str(len(body) - 5), str(len(body) + 50), str(5 * 1024**3)
    assert b" 401 " in site.raw(request(site.path, {**signs, "Content-Length": short}, body))
    assert b" 5" not in site.raw(request(site.path, {**signs, "Content-Length": long}, body), hang_up=True)[:12]
    assert b" 413 " in site.raw(request(site.path, {**signs, "Content-Length": huge}, body))
    assert b" 401 " in site.raw(request(site.path, signs, b""))
    assert b" 404 " in site.raw(request("/webhooks/fakecrm/", {**signs, "Content-Length": str(len(body))}, body))
    assert site.keys() == ["query", "chunked"]

    posted = b'{"external_id": "in-pieces", "phone": "+14155550101", "duration_seconds": 1, "started_at": "2026-01-21T14:30:00Z"}'
    dialer = {
        "Authorization": f"Bearer {site.api_key}",
        "Content-Type": "application/json",
        "Transfer-Encoding": "chunked",
    }
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (posted[:40], posted[40:])) + b"0\r\n\r\n"
    assert b" 201 " in site.raw(request("/api/v1/calls/", dialer, pieces, host="127.0.0.1"))

    embedded_postgres.stop(site.root)
    assert site.send(told("outage")).status_code == 503
    asked_for = {"Authorization": f"Bearer {site.api_key}"}
    call = {
        **json.loads(posted),
        "external_id": "outage",
    }  # one that has to be stored: what is wrong is refused without
    away = requests.post(f"{site.url}/api/v1/calls/", json=call, headers=asked_for, timeout=60)
    assert (away.status_code, away.json()["status"], away.headers["Retry-After"]) == (503, 503, "5")
    embedded_postgres.ensure_running(site.root)
    # Connections from before the outage are found out one by one: the vendor comes again until it is told 200.
    wait_until(lambda: site.send(told("outage")).status_code == 200, "the redelivery to be taken")
    assert site.send(told("outage", "after")).status_code == 200
    assert site.keys() == ["query", "chunked", "outage", "after"]

    log = site.processes.log_of("web").read_text()
    assert site.path.split("/")[3] not in log, "the address is a secret"
    assert "Traceback" not in log
