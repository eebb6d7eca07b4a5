"""Outbound messages: SOAP from outside, read by a parser that trusts nothing."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce import deliveries, outbound
from integrations.providers.salesforce.provider import Provider
from integrations.records.events import Change, Delivery, Trust
from tests.providers.salesforce.test_webhook import Inbox
from tests.providers.salesforce.world import World

ORG_15, ORG_18 = "00DD0000000abcd", "00DD0000000abcdMAA"
LEAD = "00QD000000abcdeMAA"
NOTIFICATION = (
    "<Notification><Id>{id}</Id>"
    '<sObject xsi:type="sf:Lead" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject></Notification>'
)
FIELDS = f"<sf:Id>{LEAD}</sf:Id><sf:LastName>Roe &amp; Söhne</sf:LastName>"
SESSION = "00DD0000000abcd!AQEAQFakeSessionIdOfSomebody"


def soap(*notifications: str, org: str = ORG_18, prolog: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return (
        f'{prolog}<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{org}</OrganizationId><ActionId>04k5g000000TN1AAAW</ActionId><SessionId>{SESSION}</SessionId>"
        f"{''.join(notifications)}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


def one(number: int = 1, fields: str = FIELDS) -> str:
    return NOTIFICATION.format(id=f"04l5g{number:010d}", fields=fields)


def delivery(body: bytes, kind: str = "text/xml; charset=utf-8") -> Delivery:
    headers = {"content-type": kind, "soapaction": '""'}
    return Delivery("POST", "https://dialer.example/webhooks/salesforce/t/", headers, body, datetime.now(UTC))


def trust(account_id: str = ORG_18, **settings: Any) -> Trust:
    return Trust(settings, {}, account_id)


def test_a_message_of_the_connections_organisation_is_believed_read_and_acknowledged() -> None:
    got = delivery(soap(one()))
    Provider.verify(got, trust())
    (event,) = Provider.read_delivery(got, trust())
    assert (event.change, event.object_type, event.record_ids) == (Change.UPDATED, "Lead", (LEAD,))
    assert event.dedupe_key == "outbound:04l5g0000000001AAA"
    assert (event.changed, event.values) == ((), {})
    assert event.raw["fields"] == {"Id": LEAD, "LastName": "Roe & Söhne"}
    reply = Provider.reply(got)
    assert reply.content_type == "text/xml"
    assert b"<Ack>true</Ack>" in reply.body
    assert b"http://soap.sforce.com/2005/09/outbound" in reply.body


def test_the_session_id_is_kept_nowhere() -> None:
    assert SESSION not in repr(outbound.parse(soap(one())))


@pytest.mark.parametrize("claimed", [ORG_15, ORG_18])
@pytest.mark.parametrize("known", [ORG_15, ORG_18])
def test_both_lengths_of_the_organisations_id_are_one(claimed: str, known: str) -> None:
    Provider.verify(delivery(soap(one(), org=claimed)), trust(known))


@pytest.mark.parametrize(
    ("org", "known"),
    [
        ("00DD0000000abcDMAQ", ORG_18),
        ("00DD0000000abcD", ORG_15),
        (ORG_18, ""),
        (ORG_18, "x"),
        (ORG_18, "00DD0000000zzzz"),
    ],
    ids=["other case", "other case, short", "no account", "odd account", "other account"],
)
def test_another_organisation_is_refused(org: str, known: str) -> None:
    with pytest.raises(errors.BadSignature) as refusal:
        Provider.verify(delivery(soap(one(), org=org)), trust(known))
    assert refusal.value.message == deliveries.REFUSAL


@pytest.mark.parametrize(
    ("settings", "believed"),
    [
        ({}, True),
        ({"outbound_messages": False}, False),
        ({"webhook_certificates": ["x"]}, False),
        ({"webhook_scheme": "hmac"}, False),
        ({"webhook_certificates": ["x"], "outbound_messages": True}, True),
    ],
    ids=["plain", "off", "signing", "secret", "signing and on"],
)
def test_who_signs_webhooks_takes_unsigned_messages_only_by_choice(settings: dict[str, Any], believed: bool) -> None:
    if believed:
        Provider.verify(delivery(soap(one())), trust(**settings))
        return
    with pytest.raises(errors.BadSignature):
        Provider.verify(delivery(soap(one())), trust(**settings))


def test_soap_under_another_content_type_needs_a_signature() -> None:
    for kind in ("application/json", "text/plain", ""):
        with pytest.raises(errors.BadSignature):
            Provider.verify(delivery(soap(one()), kind), trust())


def test_a_hundred_notifications_are_a_hundred_events() -> None:
    found = Provider.read_delivery(delivery(soap(*[one(number) for number in range(100)])), trust())
    assert len({event.dedupe_key for event in found}) == 100


def test_the_same_notification_has_the_same_key_whatever_it_holds_by_now() -> None:
    first, second = outbound.parse(soap(one())), outbound.parse(soap(one(fields=f"<sf:Id>{LEAD}</sf:Id>")))
    assert first.events[0].dedupe_key == second.events[0].dedupe_key


@pytest.mark.parametrize(
    ("fields", "change", "moment"),
    [
        ("<sf:IsDeleted>true</sf:IsDeleted>", Change.DELETED, None),
        ("<sf:IsDeleted>false</sf:IsDeleted>", Change.UPDATED, None),
        (
            "<sf:SystemModstamp>2024-01-15T22:33:10.000Z</sf:SystemModstamp>",
            Change.UPDATED,
            datetime(2024, 1, 15, 22, 33, 10, tzinfo=UTC),
        ),
        ("<sf:LastModifiedDate>yesterday</sf:LastModifiedDate>", Change.UPDATED, None),
        ("<sf:LastModifiedDate>2024-01-15T22:33:10</sf:LastModifiedDate>", Change.UPDATED, None),
    ],
)
def test_a_few_fields_say_more_about_the_change(fields: str, change: Change, moment: datetime | None) -> None:
    (event,) = outbound.parse(soap(one(fields=FIELDS + fields))).events
    assert (event.change, event.occurred_at) == (change, moment)


# --- what is refused, and fast --------------------------------------------------------------------------------------------

BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9)
)
HOSTILE = {
    "billion laughs": (BOMB + "]><a>&j;</a>").encode(),
    "a document type": soap(one(), prolog="<!DOCTYPE x>"),
    "an external document type": soap(one(), prolog='<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'),
    "an external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "a quadratic blow-up": b'<!DOCTYPE a [<!ENTITY x "' + b"y" * 50_000 + b'">]><a>' + b"&x;" * 50_000 + b"</a>",
    "deep nesting": b"<a>" * 200_000,
    "deep nesting, closed": b"<a>" * 100_000 + b"</a>" * 100_000,
    "many elements": soap(one(fields=FIELDS + "<sf:a/>" * 130_000)),
    "a megabyte of junk": bytes(range(256)) * 4_096,
    "a megabyte of text": b"x" * 1_048_576,
    "nothing": b"",
    "cut off": soap(one())[:-20],
    "another encoding": soap(one(), prolog='<?xml version="1.0" encoding="klingon"?>'),
    "a multi-byte encoding": soap(one(), prolog='<?xml version="1.0" encoding="shift_jis"?>'),
    "utf-16 by its word": soap(one(), prolog='<?xml version="1.0" encoding="utf-16"?>'),
    "an undefined entity": soap(one(fields=FIELDS + "&nbsp;")),
    "no envelope": b"<notifications/>",
    "an empty envelope": b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
    "no notification": soap(),
    "too many notifications": soap(*[one(number) for number in range(101)]),
    "no organisation": soap(one(), org=""),
    "no organisation's id": soap(one(), org="acme"),
    "a notification without an id": soap(one().replace("<Id>", "<X>").replace("</Id>", "</X>")),
    "a record without an id": soap(one(fields="<sf:LastName>Roe</sf:LastName>")),
    "a record with an odd id": soap(one(fields="<sf:Id>' OR 1=1</sf:Id>")),
    "a record of no type": soap(one().replace("sf:Lead", "")),
    "a record of an odd type": soap(one().replace("sf:Lead", "sf:Lead' --")),
    "another namespace": soap(one()).replace(b"2005/09/outbound", b"2006/09/outbound"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_sound_message_is_refused_in_words_and_fast(body: bytes) -> None:
    started = time.monotonic()
    for read in (Provider.verify, Provider.read_delivery):
        with pytest.raises(errors.FixData, match="can't be read"):
            read(delivery(body), trust())
    assert time.monotonic() - started < 30


@given(st.binary(max_size=400))
def test_whatever_comes_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(errors.FixData):
        outbound.parse(body)


@given(bit=st.integers(min_value=0))
def test_a_spoilt_message_is_read_or_refused_in_words(bit: int) -> None:
    body = soap(one())
    place, shift = divmod(bit % (len(body) * 8), 8)
    try:
        found = outbound.parse(body[:place] + bytes([body[place] ^ (1 << shift)]) + body[place + 1 :])
    except errors.FixData:
        return
    assert len(found.events) == 1
    assert len(found.organization_id) == 18


# --- what the sandbox sends -----------------------------------------------------------------------------------------------


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    found = Inbox()
    yield found
    found.close()


def test_an_edit_in_the_organisation_is_sent_as_an_outbound_message(world: World, inbox: Inbox) -> None:
    world.ask("PUT", "/setup/outbound", json={"url": inbox.url, "objects": ["Lead"]}).raise_for_status()
    world.sandbox.edit("Contact", world.contact(), {"MailingCity": "Bern"})
    world.sandbox.edit("Lead", world.lead(), {"LastName": "Roe & Söhne <x>"})
    (got,) = inbox.wait(1)
    account = next(world.store.all("Organization"))["Id"]
    Provider.verify(got, trust(account))
    (event,) = Provider.read_delivery(got, trust(account))
    assert (event.object_type, event.record_ids) == ("Lead", (world.lead(),))
    assert event.raw["fields"]["LastName"] == "Roe & Söhne <x>"
