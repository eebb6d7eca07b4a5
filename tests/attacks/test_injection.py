"""Texts that mean something to a database, a browser, a mail server or a resolver stay texts."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from integrations import errors, outside, tenancy
from integrations.models import Tenant
from integrations.providers.salesforce.oauth import is_sandbox
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.hosts import check_url
from sync.models import Contact
from tests import factories
from tests.admin import pages
from tests.attacks.conftest import PASSWORD
from tests.attacks.nasties import TEXTS

NAMES = [one for one in TEXTS if 0 < len(one.strip()) <= 200 and one == one.strip() and one.isprintable()]


def test_hostile_names_are_stored_as_they_are(api_key: str, tenant: Tenant) -> None:
    client = Client(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    for name in NAMES:
        answer = client.post(
            "/api/v1/contacts/", {"last_name": name, "email": "x@example.com"}, content_type="application/json"
        )
        assert answer.status_code == 201, name
        assert answer.json()["last_name"] == name
    with tenancy.everyone():
        assert Contact.objects.count() == len(NAMES) > 60


MARKUP = (
    '<img src=x onerror="alert(1)">', "</script><script>alert(1)</script>", "{{ 7|add:7 }}{% csrf_token %}", "\"'><svg/onload=1>",
)  # fmt: skip


def test_what_people_are_called_is_text_on_every_page(tenant: Tenant) -> None:
    client = Client()
    client.force_login(factories.tenant_admin(tenant))
    linked = factories.connection(tenant, account_name=MARKUP[0])
    for text in MARKUP:
        person = factories.contact(
            tenant, first_name=text, last_name=text, company=text, title=text, custom={"plan": text}
        )
        called = factories.call(tenant, person, notes=text, disposition=text[:100])
        record = factories.link(linked, person, crm_record_id=text, error_message=text)
        for address in (
            *(pages.page(type(row), "change", row.pk) for row in (person, called, record)),
            pages.page(Contact, "changelist"),
            pages.page(type(called), "changelist"),
            "/admin/",
        ):
            shown = pages.html(client, address)
            assert not [one for one in MARKUP if "<" in one and one in shown], address


# --- addresses --------------------------------------------------------------------------------------------------------

ELSEWHERE = ("//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
    "http:evil.example",
             "https:///evil.example", "//evil.example/admin/", "/%0d%0aX:1//evil.example", " https://evil.example",
             "\thttps://evil.example")  # fmt: skip


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_led_to_another_site_after_the_log_in(address: str, ann: User) -> None:
    told = {"username": ann.username, "password": PASSWORD, "next": address}
    answer = Client().post("/admin/login/", told)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert not answer["Location"].startswith(("//", "/\\"))
    assert Client().get("/admin/login/", {"next": address}).status_code == 200


INSIDE = (
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0/", "https://0.0.0.0/", "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fd00::1]/", "https://[fe80::1]/", "https://10.0.0.1/",
    "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/",
    "https://localhost/",
    "https://LOCALHOST./", "https://224.0.0.1/", "https://255.255.255.255/", "http://example.com/", "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/", "https://user:word@example.com/", "https://127.0.0.1#@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://[::1", "https://[K:1]/", "https://", "//example.com/", "https://exa mple.com/", "https://①②⑦.⓪.⓪.①/",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_no_way_of_writing_an_address_inside_is_taken(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a connection was begun")

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises((outside.AddressRefused, outside.NoAnswer)):
        outside.post(address, b"{}", {})


NO_ADDRESSES = ("https://[", "https://[K:1]/", "https://[::1", "https://a]b/", "https://[x]:y/", "http://[::1]extra/")


@pytest.mark.parametrize("slug", PROVIDERS)
def test_an_address_that_is_none_is_refused_in_words(slug: str) -> None:
    provider = provider_class(slug)
    for address in NO_ADDRESSES:
        assert not is_sandbox(address)
        with pytest.raises(errors.FixConfig, match="is not an address of"):
            check_url(address, provider.hosts, provider.label)


# --- headers and mails --------------------------------------------------------------------------------------------------


@pytest.fixture
def somebody(tenant: Tenant) -> User:
    person = factories.tenant_admin(tenant)
    person.email = "ann@example.com"
    person.save()
    return person


@pytest.mark.parametrize(
    "email", ["ann@example.com\r\nBcc: evil@example.com", "ann@example.com\nX: 1", "ann@example.com%0aBcc:x"]
)
def test_a_line_break_gets_into_no_header(email: str, somebody: User, api_key: str) -> None:
    assert Client().post("/people/password/", {"email": email}).status_code in {200, 302}
    assert not mail.outbox
    key: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {api_key}"}
    refused = Client(**key).post("/api/v1/contacts/", {"email": email}, content_type="application/json")
    assert refused.status_code == 400
    answer = Client(**key).get("/api/v1/contacts/", headers={"X-Request-ID": email})
    assert not [
        name for name, value in answer.items() if "\n" in value or "\r" in value or name.lower() in {"bcc", "x"}
    ]
