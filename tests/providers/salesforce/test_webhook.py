"""Webhooks that the organisation's own Apex signs, with a certificate or a shared secret: what is believed and what is not."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce import deliveries
from integrations.providers.salesforce.provider import Provider
from integrations.providers.salesforce.sandbox.callouts import Callouts, make_certificate
from integrations.providers.salesforce.sandbox.org import Org
from integrations.records.events import Change, Delivery, Trust
from integrations.sandbox.clock import Clock
from integrations.sandbox.store import Store
from tests.providers.salesforce.world import World

NOW = datetime.now(UTC)
LEAD = "00QD000000abcdeMAA"
SECRET = "a-shared-secret-of-the-tenant"
ORG = Org(Store(), Clock())
PAIRS = [make_certificate(ORG) for _ in range(3)]
HEADER = {"entityName": "Lead", "recordIds": [LEAD], "changeType": "UPDATE", "changedFields": ["Phone"]}


def body_of(**more: Any) -> bytes:
    payload = {"ChangeEventHeader": HEADER, "Phone": "+14155550123"}
    return json.dumps({"eventId": "e-1", "timestamp": NOW.isoformat(), "payload": payload, **more}).encode()


def sign(body: bytes, pair: dict[str, str], *, algorithm: hashes.HashAlgorithm | None = None) -> str:
    key = serialization.load_pem_private_key(pair["key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), algorithm or hashes.SHA256())).decode()


def delivery(body: bytes, signature: str | None, header: str = deliveries.SIGNATURE, at: datetime = NOW) -> Delivery:
    headers = {"content-type": "application/json", **({header: signature} if signature is not None else {})}
    return Delivery("POST", "https://dialer.example/webhooks/salesforce/t/", headers, body, at)


def trust(*certificates: Any, **more: Any) -> Trust:
    return Trust({"webhook_certificates": list(certificates), **more}, {"webhook_secret": SECRET}, "00DD0000000abcdMAA")


GOOD = delivery(body_of(), sign(body_of(), PAIRS[0]))
TRUSTED = trust(PAIRS[0]["certificate"])


def refuses(one: Delivery, trusted: Trust = TRUSTED) -> str:
    with pytest.raises(errors.BadSignature) as refusal:
        Provider.verify(one, trusted)
    assert refusal.value.message == deliveries.REFUSAL
    return refusal.value.detail


def test_a_delivery_signed_with_the_certificates_key_is_believed_and_read() -> None:
    Provider.verify(GOOD, TRUSTED)
    (event,) = Provider.read_delivery(GOOD, TRUSTED)
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "Lead", (LEAD,))
    assert event.dedupe_key == "webhook:e-1"
    assert (event.changed, event.values) == (("Phone",), {"Phone": "+14155550123"})
    assert Provider.reply(GOOD).body == b""


@pytest.mark.parametrize("count", [0, 1])
def test_while_one_certificate_replaces_another_both_are_believed(count: int) -> None:
    both = trust(PAIRS[0]["certificate"], PAIRS[1]["certificate"])
    Provider.verify(delivery(body_of(), sign(body_of(), PAIRS[count])), both)


def test_the_certificates_may_be_one_text() -> None:
    text = PAIRS[0]["certificate"] + PAIRS[1]["certificate"]
    Provider.verify(delivery(body_of(), sign(body_of(), PAIRS[1])), Trust({"webhook_certificates": text}))


def test_a_certificate_that_cannot_be_read_stops_no_other() -> None:
    Provider.verify(
        GOOD, trust("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----", PAIRS[0]["certificate"])
    )


# --- refusals all read alike ----------------------------------------------------------------------------------------------


def test_another_key_is_refused() -> None:
    refuses(delivery(body_of(), sign(body_of(), PAIRS[2])))


@pytest.mark.parametrize("trusted", [Trust(), trust(), Trust({"webhook_certificates": "x"}), trust(None, 5)])
def test_without_a_certificate_nothing_is_believed(trusted: Trust) -> None:
    refuses(GOOD, trusted)


def test_a_missing_signature_is_refused() -> None:
    refuses(delivery(body_of(), None))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text.replace("=", "%3D"),
        lambda text: text[:100] + "\r\n" + text[100:],
        lambda text: text.translate(str.maketrans("+/", "-_")) + "-",
        lambda text: "sha256=" + text,
        lambda text: base64.b64decode(text).hex(),
        lambda text: text + "ü",
    ],
    ids=["empty", "newline", "space", "no padding", "more padding", "url", "broken", "url-safe", "prefix", "hex", "ü"],
)
def test_another_spelling_of_the_signature_is_refused(spoil: Any) -> None:
    refuses(delivery(body_of(), spoil(sign(body_of(), PAIRS[0]))))


def test_another_hash_is_refused() -> None:
    refuses(delivery(body_of(), sign(body_of(), PAIRS[0], algorithm=hashes.SHA1())))


def test_a_signature_over_the_parsed_body_written_anew_is_refused() -> None:
    signature = sign(body_of(), PAIRS[0])
    refuses(delivery(json.dumps(json.loads(body_of()), indent=1).encode(), signature))


@pytest.mark.parametrize("days", [-800, 800], ids=["not yet", "no longer"])
def test_a_certificate_outside_its_days_is_refused(days: int) -> None:
    at = NOW + timedelta(days=days)
    body = body_of(timestamp=at.isoformat())
    refuses(delivery(body, sign(body, PAIRS[0]), at=at))


def test_a_short_key_is_refused() -> None:
    weak = make_certificate(ORG, bits=1024)
    refuses(delivery(body_of(), sign(body_of(), weak)), trust(weak["certificate"]))


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    from cryptography import x509

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    found = built.not_valid_before(NOW - timedelta(1)).not_valid_after(NOW + timedelta(1)).sign(key, hashes.SHA256())
    refuses(GOOD, trust(found.public_bytes(serialization.Encoding.PEM).decode()))


@pytest.mark.parametrize("seconds", [-299, 0, 59])
def test_a_signature_of_these_minutes_is_believed(seconds: int) -> None:
    body = body_of(timestamp=(NOW + timedelta(seconds=seconds)).isoformat())
    Provider.verify(delivery(body, sign(body, PAIRS[0])), TRUSTED)


@pytest.mark.parametrize(
    "timestamp",
    [
        (NOW - timedelta(seconds=301)).isoformat(),
        (NOW + timedelta(seconds=61)).isoformat(),
        NOW.replace(tzinfo=None).isoformat(),
        int(NOW.timestamp()),
        "now",
        "",
        None,
        True,
        [],
        10**30,
    ],
    ids=["old", "future", "no zone", "seconds", "word", "empty", "null", "true", "list", "huge"],
)
def test_a_signature_without_a_fresh_moment_is_refused(timestamp: Any) -> None:
    body = body_of(timestamp=timestamp)
    refuses(delivery(body, sign(body, PAIRS[0])))


def test_the_moment_may_be_milliseconds_as_apex_counts_them() -> None:
    body = body_of(timestamp=int(NOW.timestamp() * 1000))
    Provider.verify(delivery(body, sign(body, PAIRS[0])), TRUSTED)


@pytest.mark.parametrize("event_id", [None, "", 5, ["x"], "x" * 151, "a\x00b", "line\nbreak"])
def test_a_body_without_an_event_id_is_refused(event_id: Any) -> None:
    body = body_of(eventId=event_id)
    refuses(delivery(body, sign(body, PAIRS[0])))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"timestamp": NaN}', b"[" * 100_000, b"5" * 9_000])
def test_a_signed_body_that_says_nothing_of_its_time_is_refused(body: bytes) -> None:
    refuses(delivery(body, sign(body, PAIRS[0])))


def test_a_signed_body_that_is_no_event_is_unreadable() -> None:
    body = body_of(payload={"hello": "world"})
    Provider.verify(delivery(body, sign(body, PAIRS[0])), TRUSTED)
    with pytest.raises(errors.FixData):
        Provider.read_delivery(delivery(body, ""), TRUSTED)
    with pytest.raises(errors.FixData, match="no JSON"):
        Provider.read_delivery(delivery(b"[]", ""), TRUSTED)


# --- one bit is enough ----------------------------------------------------------------------------------------------------


def flip(content: bytes, bit: int) -> bytes:
    place, shift = divmod(bit % (len(content) * 8), 8)
    return content[:place] + bytes([content[place] ^ (1 << shift)]) + content[place + 1 :]


@settings(max_examples=300)
@given(bit=st.integers(min_value=0))
def test_every_bit_of_the_body_is_signed(bit: int) -> None:
    refuses(replace(GOOD, body=flip(GOOD.body, bit)))


@settings(max_examples=300)
@given(bit=st.integers(min_value=0))
def test_every_bit_of_the_header_counts(bit: int) -> None:
    spoilt = flip(GOOD.headers[deliveries.SIGNATURE].encode(), bit).decode("latin-1")
    refuses(replace(GOOD, headers={**GOOD.headers, deliveries.SIGNATURE: spoilt}))


@settings(max_examples=200)
@given(bit=st.integers(min_value=0))
def test_every_bit_counts_with_a_shared_secret_too(bit: int) -> None:
    refuses(replace(SHARED, body=flip(SHARED.body, bit)), BY_SECRET)
    spoilt = flip(SHARED.headers[deliveries.SECRET_SIGNATURE].encode(), bit).decode("latin-1")
    refuses(replace(SHARED, headers={**SHARED.headers, deliveries.SECRET_SIGNATURE: spoilt}), BY_SECRET)


# --- a shared secret ------------------------------------------------------------------------------------------------------

SHARED = delivery(
    body_of(), Callouts(ORG).signed(body_of(), SECRET)[0]["X-Dialbridge-Signature"], deliveries.SECRET_SIGNATURE
)
BY_SECRET = trust(webhook_scheme="hmac")


def test_a_shared_secret_is_believed_when_the_settings_choose_it() -> None:
    Provider.verify(SHARED, BY_SECRET)


def test_one_scheme_never_stands_in_for_the_other() -> None:
    refuses(SHARED, TRUSTED)
    refuses(GOOD, trust(PAIRS[0]["certificate"], webhook_scheme="hmac"))
    both = {**GOOD.headers, **SHARED.headers}
    refuses(replace(GOOD, headers={**both, deliveries.SIGNATURE: "AAAA"}), TRUSTED)
    refuses(GOOD, trust(PAIRS[0]["certificate"], webhook_scheme="none"))


@pytest.mark.parametrize("secret", ["", "short"])
def test_an_empty_or_short_secret_is_no_secret(secret: str) -> None:
    signature = Callouts(ORG).signed(body_of(), secret or "x")[0]["X-Dialbridge-Signature"]
    trusted = Trust({"webhook_scheme": "hmac"}, {"webhook_secret": secret} if secret else {})
    refuses(delivery(body_of(), signature, deliveries.SECRET_SIGNATURE), trusted)


def test_a_shared_secret_does_not_make_an_old_delivery_good() -> None:
    body = body_of(timestamp=(NOW - timedelta(minutes=6)).isoformat())
    headers, _ = Callouts(ORG).signed(body, SECRET)
    refuses(delivery(body, headers["X-Dialbridge-Signature"], deliveries.SECRET_SIGNATURE), BY_SECRET)


# --- what the sandbox sends -----------------------------------------------------------------------------------------------


class Inbox:
    """Takes deliveries as the webhook view does."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self.answers = [200]
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                inbox.got.append(Delivery("POST", inbox.url, headers, body, datetime.now(UTC)))
                self.send_response(inbox.answers.pop(0) if len(inbox.answers) > 1 else inbox.answers[0])
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks/salesforce/t/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def wait(self, count: int) -> list[Delivery]:
        ends = datetime.now(UTC) + timedelta(seconds=10)
        while len(self.got) < count:
            assert datetime.now(UTC) < ends, f"{len(self.got)} deliveries"
            threading.Event().wait(0.01)
        return self.got

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    found = Inbox()
    yield found
    found.close()


def test_an_edit_in_the_organisation_is_sent_signed_and_believed(world: World, inbox: Inbox) -> None:
    world.sandbox.callouts.set_up("apex", {"url": inbox.url})
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome", "LastName": "Roe"})
    (got,) = inbox.wait(1)
    trusted = trust(world.sandbox.callouts.certificate)
    Provider.verify(got, trusted)
    (event,) = Provider.read_delivery(got, trusted)
    assert event.record_ids == (world.lead(),)
    assert {"City", "LastName"} <= set(event.changed)


def test_a_delivery_that_failed_comes_again_signed_anew_as_the_same_event(world: World, inbox: Inbox) -> None:
    world.sandbox.callouts.sender.pace = 0.1
    world.ask("PUT", "/setup/apex", json={"url": inbox.url, "secret": SECRET}).raise_for_status()
    inbox.answers = [500, 200]
    world.sandbox.edit("Lead", world.lead(), {"City": "Rome"})
    first, second = inbox.wait(2)
    keys = set()
    for got in (first, second):
        Provider.verify(got, BY_SECRET)
        keys.add(Provider.read_delivery(got, BY_SECRET)[0].dedupe_key)
    assert len(keys) == 1
    assert first.body != second.body
