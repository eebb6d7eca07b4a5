"""Signing a recording's address: for a bucket, checked against the published description, and by asking the dialer."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from activities import storage
from activities.storage import Storage, StorageProblem, playable
from integrations import outside
from integrations.outside import AddressRefused, NoAnswer

GIVEN = "https://recordings.example.com/1.mp3"
BUCKET = Storage(
    "s3",
    {"bucket": "calls", "region": "eu-central-1"},
    {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"},
    900,
)
OWN_STORE = Storage("s3", {**BUCKET.options, "endpoint": "https://store.example.com"}, BUCKET.secrets, 900)
AMAZON = "calls.s3.eu-central-1.amazonaws.com"
ODD_REGION = {**BUCKET.options, "region": "no region!"}
PLACES = [
    pytest.param(BUCKET, "s3://calls/2026/a b+c.mp3", AMAZON, "/2026/a%20b%2Bc.mp3", id="s3"),
    pytest.param(BUCKET, "s3://calls/a?b#c.mp3", AMAZON, "/a%3Fb%23c.mp3", id="odd name"),
    pytest.param(
        BUCKET, "https://calls.s3.eu-central-1.amazonaws.com/x.mp3?old=1", AMAZON, "/x.mp3", id="host"
    ),
    pytest.param(BUCKET, "https://calls.s3.amazonaws.com/x.mp3", AMAZON, "/x.mp3", id="old host"),
    pytest.param(
        BUCKET, "https://s3.eu-central-1.amazonaws.com/calls/x.mp3", AMAZON, "/x.mp3", id="path"
    ),
    pytest.param(OWN_STORE, "s3://calls/x.mp3", "store.example.com", "/calls/x.mp3", id="own store"),
    pytest.param(OWN_STORE, "https://store.example.com/calls/x%20y.mp3", "store.example.com", "/calls/x%20y.mp3", id="own path"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "stored", "host", "path"), PLACES)
def test_a_bucket_is_signed_for_a_while(where: Storage, stored: str, host: str, path: str) -> None:
    parts = urlsplit(playable(where, stored, uuid4()))
    told = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.hostname, parts.path) == ("https", host, path)
    assert (told["X-Amz-Expires"], told["X-Amz-Algorithm"]) == ("900", "AWS4-HMAC-SHA256")
    assert told["X-Amz-Signature"] == sigv4(parts.hostname or "", parts.path, parts.query, where)


def sigv4(host: str, path: str, query: str, where: Storage) -> str:
    """The signature as the storage computes it, from the published description."""
    pieces = sorted(one for one in query.split("&") if not one.startswith("X-Amz-Signature="))
    told = parse_qs(query)
    moment, scope = told["X-Amz-Date"][0], told["X-Amz-Credential"][0].split("/", 1)[1]
    asked = "\n".join(["GET", path, "&".join(pieces), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(asked.encode()).hexdigest()])
    key = ("AWS4" + where.secrets["secret_access_key"]).encode()
    for piece in scope.split("/"):
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("where", "stored"),
    [
        pytest.param(BUCKET, "s3://others/x.mp3", id="another bucket"),
        pytest.param(BUCKET, "s3://calls/", id="no name"),
        pytest.param(BUCKET, "https://recordings.example.com/calls/x.mp3", id="another host"),
        pytest.param(BUCKET, "https://calls.s3.evil.example/x.mp3", id="a similar host"),
        pytest.param(OWN_STORE, "https://store.example.com/others/x.mp3", id="another bucket there"),
        pytest.param(Storage("s3", {}, BUCKET.secrets), "s3://calls/x.mp3", id="no bucket set"),
        pytest.param(Storage("s3", BUCKET.options), "s3://calls/x.mp3", id="no keys"),
        pytest.param(Storage("s3", ODD_REGION, BUCKET.secrets), "s3://calls/x.mp3", id="bad region"),
        pytest.param(Storage("signer"), GIVEN, id="no signer"),
    ],
)  # fmt: skip
def test_what_can_not_be_signed_is_said_without_a_secret(where: Storage, stored: str) -> None:
    with pytest.raises(StorageProblem) as error:
        playable(where, stored, uuid4())
    assert "wJalrXUtnFEMI" not in str(error.value)


# --- the dialer's own signer ----------------------------------------------------------------------------------------


class Signer:
    """A dialer that signs; what it answers is set by the test."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes, Mapping[str, str]] = (200, b"{}", {})
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.delay = 0.0

    def answers(self, status: int, body: bytes, **headers: str) -> None:
        self.answer = status, body, headers


@pytest.fixture
def signer(settings: Any) -> Iterator[tuple[Signer, str]]:
    dialer = Signer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            dialer.asked.append((dict(self.headers.items()), body))
            time.sleep(dialer.delay)
            status, sent, headers = dialer.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            with suppress(ConnectionError):  # nobody waits any more
                self.wfile.write(sent)

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.CRM_ALLOWED_HOSTS = [f"127.0.0.1:{server.server_port}"]
    yield dialer, f"http://127.0.0.1:{server.server_port}/sign"
    server.shutdown()
    server.server_close()


def of_signer(url: str) -> Storage:
    return Storage("signer", {"signer_url": url}, {"signer_secret": "whsec_" + base64.b64encode(b"key").decode()}, 60)


def test_the_dialers_signer_is_asked_with_a_signature(signer: Any) -> None:
    dialer, url = signer
    dialer.answers(200, b'{"url": "https://cdn.example.com/fresh?sig=1"}')
    call_id = uuid4()
    assert playable(of_signer(url), GIVEN, call_id) == "https://cdn.example.com/fresh?sig=1"
    headers, body = dialer.asked[0]
    assert json.loads(body) == {"url": GIVEN, "call_id": str(call_id), "seconds": 60}
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mark = base64.b64encode(hmac.new(b"key", text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mark}"


BAD_ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "an error": (500, b"oops", {}),
    "a redirect": (302, b"", {"Location": "https://cdn.example.com/"}),
    "no JSON": (200, b"<html>", {}),
    "no object": (200, b"[]", {}),
    "no address": (200, b'{"url": null}', {}),
    "a script": (200, b'{"url": "javascript:alert(1)"}', {}),
    "no https": (200, b'{"url": "http://cdn.example.com/1"}', {}),
    "a second header": (200, b'{"url": "https://cdn.example.com\\r\\nSet-Cookie: a=b"}', {}),
    "deep nesting": (200, b"[" * 60_000, {}),
    "a longer address than browsers take": (200, b'{"url": "https://cdn.example.com/' + b"x" * 9000 + b'"}', {}),
    "too much": (200, b'{"url": "' + b"x" * 100_000 + b'"}', {}),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_signer_that_answers_otherwise_is_a_storage_problem(signer: Any, answer: Any) -> None:
    dialer, url = signer
    dialer.answer = answer
    with pytest.raises(StorageProblem):
        playable(of_signer(url), GIVEN, uuid4())


def test_a_signer_that_takes_its_time_is_not_waited_for(signer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dialer, url = signer
    dialer.delay = 4
    monkeypatch.setattr(storage, "SIGNER_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(StorageProblem):
        playable(of_signer(url), GIVEN, uuid4())
    assert time.monotonic() - began < dialer.delay


INSIDE = [
    "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://0.0.0.0/", "https://[fd00::1]/", "https://2130706433/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
def test_nothing_inside_our_own_network_is_asked(url: str, settings: Any) -> None:
    settings.CRM_ALLOWED_HOSTS = []
    with pytest.raises((AddressRefused, NoAnswer)):
        outside.fetch("POST", url, body=b"{}")


def test_a_name_that_leads_inside_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(AddressRefused):
        outside.fetch("POST", "https://rebound.example.com/", body=b"{}")
