"""What the dialer hears of its calls: each end of a call, each message until it is taken, and nothing to the inside."""

import base64
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import IntegrityError
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from rest_framework.test import APIClient

from activities import delivering, dialer_webhooks
from activities.delivering import WAITS, deliver, sweep, tidy
from activities.dialer_webhooks import FAILED, LOGGED, NEEDS_REVIEW
from activities.models import Call, DialerEndpoint, DialerMessage
from integrations import outside, signing, tenancy
from integrations.admin_html import page_url
from integrations.errors import FixData
from integrations.models import CrmConnection, Tenant
from integrations.records.remote import Written
from sync.models import Contact, SyncJob
from sync.work import work
from tests import factories
from tests.fake_crm.provider import Provider
from tests.rows import reread

URL = "/api/v1/calls/"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 1, 21, 14, 30, tzinfo=UTC)


class Dialer(http.server.ThreadingHTTPServer):
    """The dialer's own server: keeps what came, answers what it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Ear)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.body = b"fine"
        self.url = f"http://127.0.0.1:{self.server_port}/calls?who=us"

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _headers, body in self.heard]


class _Ear(http.server.BaseHTTPRequestHandler):
    server: Dialer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def dialer(settings: Any) -> Iterator[Dialer]:
    server = Dialer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings.CRM_ALLOWED_HOSTS = [*settings.CRM_ALLOWED_HOSTS, f"127.0.0.1:{server.server_port}"]
    yield server
    server.shutdown()
    server.server_close()


def listen(owner: Tenant, url: str, **fields: Any) -> DialerEndpoint:
    with tenancy.everyone():
        made: DialerEndpoint = DialerEndpoint.objects.create(tenant=owner, url=url, **{"secret": SECRET, **fields})
    return made


@pytest.fixture
def endpoint(connection: CrmConnection, dialer: Dialer) -> DialerEndpoint:
    return listen(connection.tenant, dialer.url)


def tell(endpoint: DialerEndpoint, **fields: Any) -> DialerMessage:
    with tenancy.everyone():
        message = dialer_webhooks.made(endpoint, LOGGED, None, {"id": "x"})
        for name, value in fields.items():
            setattr(message, name, value)
        message.save()
    return message


def messages(**fields: Any) -> list[DialerMessage]:
    with tenancy.everyone():
        return list(DialerMessage.objects.filter(**fields).order_by("created_at"))


def due_again() -> None:
    with tenancy.everyone():
        DialerMessage.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))


def post(client: APIClient, connection: CrmConnection, body: Any, **changes: Any) -> Any:
    answer = client.post(URL, {**body, **changes})
    assert answer.status_code == 201
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
    return answer.json()


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_logged_call_is_told_in_the_words_of_the_api(
    client: APIClient, connection: CrmConnection, contact: Contact, body: Any, endpoint: DialerEndpoint, dialer: Dialer
) -> None:
    posted = post(client, connection, body)
    deliver(str(endpoint.pk))
    [told] = dialer.bodies()
    assert told["type"] == LOGGED
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None
    assert told["data"]["provider"] == "fakecrm"
    shown = client.get(f"{URL}{posted['id']}/").json()
    assert {name: told["data"][name] for name in shown} == shown
    assert told["data"]["syncs"][0]["status"] == "logged"
    assert [one.state for one in messages()] == ["sent"]


def test_numbers_and_notes_are_not_told(
    client: APIClient, connection: CrmConnection, contact: Contact, body: Any, endpoint: DialerEndpoint, dialer: Dialer
) -> None:
    post(client, connection, body, phone="+14155550101")
    deliver(str(endpoint.pk))
    assert b"4155550101" not in dialer.heard[0][1]
    assert b"demo" not in dialer.heard[0][1]


def test_a_later_stage_is_told_when_it_is_in_the_crm(
    client: APIClient,
    connection: CrmConnection,
    contact: Contact,
    body: Any,
    endpoint: DialerEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Provider, "log_calls", lambda _self, calls: [Written(one.key, id="1") for one in calls])
    posted = post(client, connection, body)
    client.patch(f"{URL}{posted['id']}/", {"summary": "Asked for a demo."})
    assert len(messages()) == 1
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
    assert [one.event for one in messages()] == [LOGGED, LOGGED]


def test_a_call_that_needs_help_is_told_with_its_cause(
    client: APIClient,
    connection: CrmConnection,
    contact: Contact,
    body: Any,
    endpoint: DialerEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> Any:
        raise FixData("The CRM has no such owner.", cause="no_owner")

    monkeypatch.setattr(Provider, "log_calls", refuse)
    post(client, connection, body)
    [message] = messages()
    assert message.event == FAILED
    assert message.payload["data"]["problem"] == {
        "part": "call",
        "cause": "no_owner",
        "error": "The CRM has no such owner.",
    }
    assert message.payload["data"]["syncs"][0]["status"] == "failed"


@pytest.mark.parametrize("owners", [0, 2], ids=["nobody has the number", "two have it"])
def test_a_call_that_waits_for_a_person_is_told_once(
    client: APIClient, connection: CrmConnection, body: Any, endpoint: DialerEndpoint, owners: int
) -> None:
    with tenancy.everyone():
        for _ in range(owners):
            Contact.objects.create(tenant=connection.tenant, phone="+14155550177")
    posted = post(client, connection, body, provider="", crm_record_id="", phone="+14155550177")
    client.patch(f"{URL}{posted['id']}/", {"summary": "Who was it?"})
    [message] = messages()
    assert (message.event, str(message.about)) == (NEEDS_REVIEW, posted["id"])
    assert message.payload["data"]["review"] == ("ambiguous_number" if owners else "unknown_number")


def test_an_address_hears_only_what_it_asked_for(
    client: APIClient, connection: CrmConnection, contact: Contact, body: Any, dialer: Dialer, stranger: Tenant
) -> None:
    listen(connection.tenant, dialer.url, events=[FAILED])
    listen(connection.tenant, "https://off.example.com/", is_active=False)
    listen(stranger, dialer.url)
    wanted = listen(connection.tenant, "https://two.example.com/", events=[LOGGED])
    post(client, connection, body)
    assert [one.endpoint_id for one in messages()] == [wanted.pk]


def test_a_message_shares_the_fate_of_what_it_tells(
    client: APIClient,
    connection: CrmConnection,
    contact: Contact,
    body: Any,
    endpoint: DialerEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.post(URL, body)
    monkeypatch.setattr("sync.queue.jobs_ended.send", _tell_and_break)
    with tenancy.scope(connection.tenant_id), pytest.raises(IntegrityError):
        work(connection.pk)
    assert messages() == []
    with tenancy.everyone():
        assert SyncJob.objects.get(kind="log_call").state == "leased"


def _tell_and_break(sender: Any, jobs: Any) -> None:
    dialer_webhooks.tell_of_jobs(jobs)
    raise IntegrityError


def test_a_worker_is_sent_once_the_message_is_stored(
    client: APIClient,
    connection: CrmConnection,
    contact: Contact,
    body: Any,
    endpoint: DialerEndpoint,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        post(client, connection, body)
    sent = [one.task for one in OrmQ.objects.all()]
    assert [one["args"] for one in sent if one["func"] == dialer_webhooks.TASK] == [(str(endpoint.pk),)]


def test_many_calls_are_told_in_as_many_statements_as_one(
    connection: CrmConnection, contact: Contact, endpoint: DialerEndpoint, django_assert_max_num_queries: Any
) -> None:
    with tenancy.everyone():
        calls = [
            Call.objects.create(
                tenant=connection.tenant, external_id=f"d-{n}", direction="outbound", duration_seconds=1, started_at=NOW
            )
            for n in range(50)
        ]
        jobs = [
            SyncJob.objects.create(
                tenant=connection.tenant,
                connection=connection,
                kind="log_call",
                key=str(one.pk),
                local_record_id=one.pk,
                state="done",
            )
            for one in calls
        ]
        with django_assert_max_num_queries(6):
            dialer_webhooks.tell_of_jobs(jobs)
    assert len(messages()) == 50


# --- signatures -------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_published_example() -> None:
    made = signing.signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives_carries_a_signature_of_exactly_what_arrived(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    deliver(str(endpoint.pk))
    [(sent, body)] = dialer.heard
    assert sent["webhook-id"] == f"msg_{message.pk.hex}"
    assert abs(int(sent["webhook-timestamp"]) - timezone.now().timestamp()) < 60
    signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert sent["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def test_the_old_secret_signs_beside_the_new_one_for_a_day() -> None:
    stored, new = signing.rotated(SECRET, NOW)
    both = signing.headers(stored, "msg_1", NOW + timedelta(hours=23), b"{}")["webhook-signature"].split()
    moment = int((NOW + timedelta(hours=23)).timestamp())
    assert both == [signing.signature(one, "msg_1", moment, b"{}") for one in (new, SECRET)]
    assert signing.valid_secrets(stored, NOW + timedelta(hours=25)) == [new]


def test_after_two_rotations_only_the_newest_two_sign() -> None:
    once, first = signing.rotated(SECRET, NOW)
    twice, second = signing.rotated(once, NOW)
    assert signing.valid_secrets(twice, NOW) == [second, first]


# --- trying again -----------------------------------------------------------------------------------------------------


def test_a_refused_message_comes_again_under_its_id_until_it_is_taken(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    dialer.answers = [500]
    deliver(str(endpoint.pk))
    row = reread(message)
    assert (row.state, row.attempts, row.status) == ("ready", 1, 500)
    assert reread(endpoint).failing_since
    due_again()
    deliver(str(endpoint.pk), probe=True)
    assert reread(message).state == "sent"
    assert reread(endpoint).failing_since is None
    assert len({headers["webhook-id"] for headers, _body in dialer.heard}) == 1


def test_the_waits_grow_and_the_tenth_failure_is_the_last(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    dialer.answers = [503] * 10
    waits = []
    for _ in range(10):
        due_again()
        before = timezone.now()
        deliver(str(endpoint.pk), probe=True)
        row = reread(message)
        waits.append(round((row.not_before - before).total_seconds(), -0) if row.state == "ready" else None)
    assert waits == [pytest.approx(one, abs=3) for one in WAITS] + [None]
    assert (row.state, row.attempts) == ("dead", 10)
    assert row.error.startswith("The answer was 503")


def test_an_address_in_trouble_is_left_alone_until_the_next_minute(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    for _ in range(6):
        tell(endpoint)
    dialer.answers = [500] * 6
    deliver(str(endpoint.pk))
    assert len(dialer.heard) == delivering.MOST_IN_A_ROW
    deliver(str(endpoint.pk))
    assert len(dialer.heard) == delivering.MOST_IN_A_ROW
    sweep()
    assert OrmQ.objects.count() == 1


def test_a_single_refusal_holds_up_nothing(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    for _ in range(4):
        tell(endpoint)
    dialer.answers = [500]
    deliver(str(endpoint.pk))
    assert sorted(one.state for one in messages()) == ["ready", "sent", "sent", "sent"]


def test_a_redirect_is_not_followed(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    dialer.answers, dialer.headers = [302], {"Location": dialer.url}
    deliver(str(endpoint.pk))
    assert len(dialer.heard) == 1
    assert "redirect" in reread(message).error


def test_who_says_gone_hears_no_more(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    tell(endpoint)
    tell(endpoint)
    dialer.answers = [410]
    deliver(str(endpoint.pk))
    assert not reread(endpoint).is_active
    assert len(dialer.heard) == 1
    assert [one.state for one in messages()] == ["dead", "dead"]


@pytest.mark.parametrize(("days", "active"), [(4, True), (6, False)], ids=["four days", "six days"])
def test_an_address_that_fails_for_days_is_switched_off(
    endpoint: DialerEndpoint, dialer: Dialer, days: int, active: bool
) -> None:
    with tenancy.everyone():
        DialerEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=days))
    tell(endpoint)
    dialer.answers = [500]
    deliver(str(endpoint.pk), probe=True)
    assert reread(endpoint).is_active is active


def test_what_is_being_sent_is_sent_by_nobody_else(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    with tenancy.scope(endpoint.tenant_id):
        assert delivering._claim(endpoint) == message
    tell(endpoint)
    deliver(str(endpoint.pk))
    assert dialer.heard == []


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_each_message_once(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    for _ in range(20):
        tell(endpoint)

    def send() -> None:
        deliver(str(endpoint.pk))
        database.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({headers["webhook-id"] for headers, _body in dialer.heard}) == len(dialer.heard) == 20
    assert {one.state for one in messages()} == {"sent"}


def test_what_a_dead_sender_held_is_sent_after_a_while(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint)
    with tenancy.scope(endpoint.tenant_id):
        delivering._claim(endpoint)
    due_again()
    sweep()
    assert OrmQ.objects.count() == 1
    deliver(str(endpoint.pk), probe=True)
    row = reread(message)
    assert (row.state, row.attempts) == ("sent", 2)


def test_one_worker_is_sent_for_messages_that_came_together(endpoint: DialerEndpoint) -> None:
    first, second = tell(endpoint), tell(endpoint)
    dialer_webhooks.wake(endpoint.pk, {second.pk})
    assert OrmQ.objects.count() == 0
    dialer_webhooks.wake(endpoint.pk, {first.pk})
    assert OrmQ.objects.count() == 1


def test_given_up_messages_are_sent_again_by_hand(endpoint: DialerEndpoint, dialer: Dialer) -> None:
    message = tell(endpoint, state="dead", attempts=10, error="The answer was 500.", finished_at=timezone.now())
    with tenancy.everyone():
        assert delivering.replay(DialerMessage.objects.all()) == 1
    deliver(str(endpoint.pk))
    assert reread(message).state == "sent"


def test_old_messages_are_forgotten_once_they_are_finished(endpoint: DialerEndpoint) -> None:
    old = timezone.now() - timedelta(days=31)
    tell(endpoint, state="sent", finished_at=old)
    kept = [tell(endpoint, created_at=old), tell(endpoint, state="sent", finished_at=timezone.now())]
    tidy()
    assert {one.pk for one in messages()} == {one.pk for one in kept}


# --- nothing to the inside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://dialer.example.com/",
        "ftp://dialer.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3:8443/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://localhost/",
        "https://db.internal/",
        "https://name:word@dialer.example.com/",
        "https://dialer.example.com\\@127.0.0.1/",
        "https://dialer.example.com:99999/",
        "https:///path",
        "dialer",
    ],
)
def test_an_address_inside_is_refused_at_once(url: str) -> None:
    with pytest.raises(outside.AddressRefused):
        outside.check_address(url)


@pytest.mark.parametrize(
    "url", ["https://dialer.example.com/hooks?a=1", "https://8.8.8.8/", "https://[2606:4700::1111]/"]
)
def test_an_address_outside_is_taken(url: str) -> None:
    outside.check_address(url)


def resolver(*addresses: str) -> Callable[..., Any]:
    def resolve(host: str, port: int, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return resolve


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"]], ids=["inside", "one of two inside"])
def test_a_name_that_leads_inside_is_refused_without_a_connection(
    addresses: list[str], endpoint: DialerEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenancy.everyone():
        DialerEndpoint.objects.update(url="https://dialer.example.com/")
    message = tell(endpoint)
    monkeypatch.setattr(socket, "getaddrinfo", resolver(*addresses))
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("a connection was made"))
    deliver(str(endpoint.pk))
    assert "not on the public internet" in reread(message).error


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def connect(address: Any, timeout: float) -> Any:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolver("8.8.4.4"))
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(outside.NoAnswer):
        outside.post("https://dialer.example.com/", b"{}", {})
    assert asked == [("8.8.4.4", 443)]


def test_a_long_answer_is_not_read_to_its_end(dialer: Dialer) -> None:
    dialer.body = b"x" * 5_000_000
    assert len(outside.post(dialer.url, b"{}", {}).text) == outside.MOST_READ


def test_who_answers_a_letter_at_a_time_is_cut_off(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "LONGEST", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.CRM_ALLOWED_HOSTS = [f"127.0.0.1:{server.getsockname()[1]}"]

        def dawdle() -> None:
            taken, _address = server.accept()
            with taken:
                while not over.wait(0.1):
                    try:
                        taken.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=dawdle)
        thread.start()
        with pytest.raises(outside.NoAnswer):
            outside.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})
        over.set()
        thread.join(5)


@pytest.mark.parametrize("named", [True, False], ids=["of this name", "of another name"])
def test_only_a_certificate_of_the_name_is_good(
    named: bool, dialer: Dialer, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(certificate_of("dialer.example.com" if named else "other.example.com"))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    dialer.socket = served.wrap_socket(dialer.socket, server_side=True)
    settings.CRM_ALLOWED_HOSTS = [f"dialer.example.com:{dialer.server_port}"]
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1"))
    monkeypatch.setattr(outside, "trust", lambda: ssl.create_default_context(cafile=certificate))
    url = f"https://dialer.example.com:{dialer.server_port}/"
    if named:
        assert outside.post(url, b"{}", {}).status == 200
        assert dialer.heard[0][0]["host"] == f"dialer.example.com:{dialer.server_port}"
    else:
        with pytest.raises(outside.NoAnswer, match="certificate"):
            outside.post(url, b"{}", {})


def certificate_of(name: str) -> bytes:
    """A key and a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(timezone.now() - timedelta(hours=1))
        .not_valid_after(timezone.now() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


# --- the admin --------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(endpoint: DialerEndpoint) -> Client:
    """The tenant's admin, signed in."""
    signed_in = Client()
    signed_in.force_login(factories.tenant_admin(endpoint.tenant))
    return signed_in


def test_the_secret_is_shown_once_when_an_address_is_added(browser: Client, tenant: Tenant) -> None:
    answer = browser.post(
        page_url(DialerEndpoint, "add"),
        {"url": "https://dialer.example.com/hooks", "events": [FAILED], "is_active": "on"},
        follow=True,
    )
    with tenancy.everyone():
        made = DialerEndpoint.objects.get(url="https://dialer.example.com/hooks")
    assert (made.tenant_id, made.events) == (tenant.pk, [FAILED])
    assert made.secret.startswith("whsec_")
    assert made.secret in answer.content.decode()
    assert made.secret not in browser.get(page_url(made)).content.decode()


@pytest.mark.parametrize("url", ["http://dialer.example.com/", "https://10.0.0.1/"], ids=["plain", "inside"])
def test_an_address_that_may_not_be_is_refused_in_the_form(browser: Client, url: str) -> None:
    answer = browser.post(page_url(DialerEndpoint, "add"), {"url": url, "is_active": "on"})
    assert answer.status_code == 200
    with tenancy.everyone():
        assert DialerEndpoint.objects.count() == 1


def test_a_test_asks_first_and_then_shows_the_answer(browser: Client, endpoint: DialerEndpoint, dialer: Dialer) -> None:
    url = page_url(endpoint, "send_test")
    browser.get(url)
    assert dialer.heard == []
    assert "the answer was 200" in browser.post(url, follow=True).content.decode()
    assert dialer.bodies()[0]["type"] == "endpoint.test"
    dialer.answers = [418]
    assert "The answer was 418. fine" in browser.post(url, follow=True).content.decode()
    assert reread(endpoint).failing_since is None


def test_a_changed_secret_is_shown_once_and_the_old_one_goes_on_signing(
    browser: Client, endpoint: DialerEndpoint, dialer: Dialer
) -> None:
    url = page_url(endpoint, "rotate_secret")
    browser.get(url)
    assert reread(endpoint).secret == SECRET
    shown = browser.post(url, follow=True).content.decode()
    new, old = signing.valid_secrets(reread(endpoint).secret, timezone.now())
    assert (new in shown, old) == (True, SECRET)
    assert SECRET not in shown
    assert "Two secrets, the new one and the old one, until" in shown
    tell(endpoint)
    deliver(str(endpoint.pk))
    assert len(dialer.heard[0][0]["webhook-signature"].split()) == 2


@pytest.mark.parametrize("page", ["message", "endpoint"])
def test_given_up_messages_are_sent_again_by_a_button(browser: Client, endpoint: DialerEndpoint, page: str) -> None:
    message = tell(endpoint, state="dead", attempts=10, error="The answer was 500.")
    url = page_url(message, "send_again") if page == "message" else page_url(endpoint, "send_failed_again")
    browser.get(url)
    assert reread(message).state == "dead"
    assert "1 message is sent again." in browser.post(url, follow=True).content.decode()
    assert (reread(message).state, reread(message).attempts) == ("ready", 0)


def test_switching_on_again_forgets_the_trouble_and_off_gives_up_what_waits(
    browser: Client, endpoint: DialerEndpoint
) -> None:
    with tenancy.everyone():
        DialerEndpoint.objects.update(is_active=False, failing_since=timezone.now())
    assert "was switched off for failing" in browser.get("/admin/").content.decode()
    browser.post(page_url(endpoint), {"url": endpoint.url, "is_active": "on"})
    row = reread(endpoint)
    assert (row.is_active, row.failing_since, row.secret) == (True, None, SECRET)
    message = tell(endpoint)
    browser.post(page_url(endpoint), {"url": endpoint.url})
    assert (reread(endpoint).is_active, reread(message).state) == (False, "dead")
