"""HubSpot's signatures: worked vectors, the rules around them, and no single bit that could be changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from pytest_django import Settings

from integrations.errors import BadSignature
from integrations.providers.hubspot import signatures
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.signatures import OLDER, OLDER_VERSION, TIMESTAMP, V3
from integrations.records.events import Delivery, Trust

SECRET = "demo-secret-0f3b1c7e-not-real"
TRUST = Trust(secrets={"client_secret": SECRET})
ADDRESS = "https://dialer.example.com/webhooks/hubspot/"

BODY_A = (
    b'[{"eventId":100,"subscriptionId":501,"portalId":123456,"appId":9001,"occurredAt":1769000000000,'
    b'"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":512,"propertyName":"phone",'
    b'"propertyValue":"+14155551234","changeSource":"CRM_UI","sourceId":"userId:77"}]'
)
V3_A = "yu7omwSjC+0vKpzgyqrJsWMdEggom3jnlQmhZjkDXGo="
V1_A = "1de4771f7ec528801452aad0db5ed0bf8d6a08aaaa4557a56d52b8c0bb0fb7fb"
V2_A = "b62887d13feffc3448f4f36c247c9e5f9c268622ce05ba61a9ce0c9f6be1151b"
BODY_ALONE_A = "YfcZC5ryvssolWdq5F2P8gAjFHeRWBaQS7jk1/1ONG8="
STAMP_A = "1769000001000"

BODY_B = (
    '[{"eventId":101,"subscriptionId":501,"portalId":123456,"appId":9001,"occurredAt":1769000002000,'
    '"subscriptionType":"contact.propertyChange","attemptNumber":1,"objectId":513,"propertyName":"firstname",'
    '"propertyValue":"Zoë Šimić","changeSource":"API","sourceId":"9001"}]'
).encode()
URL_B = ADDRESS + "?tenant=acme&next=%2Fa%3Ab%2Cc%40d"
V3_B = "TyAfe+ut4zmHQaV0QV35GUjytQjCF5WJHDoqPjtsvmI="
V3_B_UNDECODED = "oPPk+Ks0npDarYslCqNkbe85idu/2pOUCettjaMMcZk="
STAMP_B = "1769000003500"

URL_C = "https://dialer.example.com/crm-card/fetch?userEmail=rep%2Bone%40example.com&name=A%20B&x=1%262"
V3_C = "j3+DA1ioeo0cao6TzoBapOpiznZxceQcHIY5504IMRA="
STAMP_C = "1769000004000"


def at(stamp: str, later: timedelta = timedelta()) -> datetime:
    return datetime.fromtimestamp(int(stamp) / 1000, UTC) + later


def delivery_a(**more: Any) -> Delivery:
    signed = {V3: V3_A, TIMESTAMP: STAMP_A}
    standard = Delivery("POST", ADDRESS, signed, BODY_A, at(STAMP_A, timedelta(seconds=2)))
    return replace(standard, **more)


# --- the vectors ----------------------------------------------------------------------------------------------------


def test_the_vectors_have_the_bodies_that_were_signed() -> None:
    assert (len(BODY_A), len(BODY_B)) == (274, 270)


@pytest.mark.parametrize(
    ("method", "url", "body", "stamp", "expected"),
    [
        pytest.param("POST", ADDRESS, BODY_A, STAMP_A, V3_A, id="A: a plain address"),
        pytest.param("POST", URL_B, BODY_B, STAMP_B, V3_B, id="B: UTF-8 and escapes in the query"),
        pytest.param("GET", URL_C, b"", STAMP_C, V3_C, id="C: no body, some escapes stay"),
        pytest.param("get", URL_C, b"", STAMP_C, V3_C, id="C: the method is written large"),
    ],
)
def test_version_3_signs_method_address_body_and_time(
    method: str, url: str, body: bytes, stamp: str, expected: str
) -> None:
    assert signatures.signature_v3(SECRET, method, url, body, stamp) == expected
    delivery = Delivery(method, url, {V3: expected, TIMESTAMP: stamp}, body, at(stamp))
    Provider.verify(delivery, TRUST)


def test_an_address_that_is_not_decoded_gives_another_signature() -> None:
    assert signatures.signature_v3(SECRET, "POST", URL_B, BODY_B, STAMP_B) != V3_B_UNDECODED
    forged = Delivery("POST", URL_B, {V3: V3_B_UNDECODED, TIMESTAMP: STAMP_B}, BODY_B, at(STAMP_B))
    with pytest.raises(BadSignature):
        Provider.verify(forged, TRUST)


def test_the_older_versions_sign_without_a_time() -> None:
    assert signatures.signature_v1(SECRET, BODY_A) == V1_A
    assert signatures.signature_v2(SECRET, "POST", ADDRESS, BODY_A) == V2_A
    published = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"
    secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
    assert signatures.signature_v2(secret, "GET", "https://www.example.com/webhook_uri", b"") == published


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        *[(f"%{ord(mark):02X}", mark) for mark in ":/?@!$'()*,;"],
        *[(kept, kept) for kept in ("%20", "%26", "%3D", "%2B", "%25", "%23", "%3a", "%C3%A9", "%2")],
        ("%253A", "%253A"),
    ],
)
def test_twelve_escapes_are_decoded_and_no_others(escaped: str, plain: str) -> None:
    assert signatures.decoded(f"https://a.example/x?y={escaped}z") == f"https://a.example/x?y={plain}z"


# --- which version proves a delivery --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        pytest.param({V3: V3_A, TIMESTAMP: STAMP_A}, True, id="v3"),
        pytest.param({V3: V3_A, TIMESTAMP: STAMP_A, OLDER: "00", OLDER_VERSION: "v1"}, True, id="v3 good, v1 bad"),
        pytest.param({V3: V3_B, TIMESTAMP: STAMP_A, OLDER: V1_A, OLDER_VERSION: "v1"}, False, id="v3 bad, v1 good"),
        pytest.param({V3: V3_A, OLDER: V1_A, OLDER_VERSION: "v1"}, False, id="v3 without its time, v1 good"),
        pytest.param({V3: "", TIMESTAMP: STAMP_A, OLDER: V1_A, OLDER_VERSION: "v1"}, False, id="v3 empty, v1 good"),
        pytest.param({OLDER: V1_A, OLDER_VERSION: "v1"}, True, id="v1 alone"),
        pytest.param({OLDER: V1_A}, True, id="v1 that does not say so"),
        pytest.param({OLDER: V2_A, OLDER_VERSION: "v2"}, True, id="v2 alone"),
        pytest.param({OLDER: V2_A, OLDER_VERSION: "v1"}, False, id="v2 that says v1"),
        pytest.param({OLDER: V1_A, OLDER_VERSION: "v9"}, False, id="an unknown version"),
        pytest.param({OLDER: V1_A.upper()}, False, id="v1 in capitals"),
        pytest.param({TIMESTAMP: STAMP_A}, False, id="a time alone"),
        pytest.param({V3: BODY_ALONE_A, TIMESTAMP: STAMP_A}, False, id="the body's proof with a time"),
        pytest.param({V3: BODY_ALONE_A}, False, id="the body's proof"),
        pytest.param({V3: "ÿ\udcff☃", TIMESTAMP: STAMP_A}, False, id="not even ASCII"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_version_3_decides_wherever_it_comes_along(headers: dict[str, str], good: bool) -> None:
    delivery = delivery_a(headers=headers)
    if good:
        Provider.verify(delivery, TRUST)
    else:
        with pytest.raises(BadSignature):
            Provider.verify(delivery, TRUST)


def test_the_bare_body_may_prove_a_delivery_only_where_a_connection_allows_it() -> None:
    delivery = delivery_a(headers={V3: BODY_ALONE_A})
    Provider.verify(delivery, replace(TRUST, settings={"accept_body_signature": True}))
    for refused in ({"accept_body_signature": False}, {"accept_body_signature": "true"}, {}):
        with pytest.raises(BadSignature):
            Provider.verify(delivery, replace(TRUST, settings=refused))


def test_the_bare_body_never_proves_a_delivery_that_tells_a_time() -> None:
    allowing = replace(TRUST, settings={"accept_body_signature": True})
    with pytest.raises(BadSignature):
        Provider.verify(delivery_a(headers={V3: BODY_ALONE_A, TIMESTAMP: STAMP_A}), allowing)
    with pytest.raises(BadSignature):
        Provider.verify(delivery_a(headers={V3: BODY_ALONE_A}, body=BODY_A + b" "), allowing)


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "good"),
    [(299, True), (300, True), (300.001, False), (3600, False), (-59, True), (-60, True), (-61, False)],
)
def test_a_signature_lasts_five_minutes_and_no_clock_is_a_minute_ahead(later: float, good: bool) -> None:
    delivery = delivery_a(received_at=at(STAMP_A, timedelta(seconds=later)))
    if good:
        Provider.verify(delivery, TRUST)
    else:
        with pytest.raises(BadSignature):
            Provider.verify(delivery, TRUST)


@pytest.mark.parametrize(
    "stamp",
    [
        *("", "NaN", "nan", "Infinity", "-1769000001000", "+1769000001000", " 1769000001000", "1769000001000.0"),
        *("1e12", "1_769_000_001_000", "١٧٦٩٠٠٠٠٠١٠٠٠", "9" * 40, "2026-01-21T14:30:00Z"),
    ],
)
def test_a_time_that_is_no_number_of_milliseconds_is_refused(stamp: str) -> None:
    signed = signatures.signature_v3(SECRET, "POST", ADDRESS, BODY_A, stamp)
    with pytest.raises(BadSignature):
        Provider.verify(delivery_a(headers={V3: signed, TIMESTAMP: stamp}), TRUST)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_an_address_of_the_app_is_checked_against_the_apps_secret(settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_SECRET = SECRET
    Provider.verify(delivery_a(), Trust())
    settings.HUBSPOT_CLIENT_SECRET = "another"
    with pytest.raises(BadSignature):
        Provider.verify(delivery_a(), Trust())


@pytest.mark.parametrize("name", ["client_secret", "webhook_secret"])
def test_a_connections_own_secret_counts_and_then_the_apps_does_not(settings: Settings, name: str) -> None:
    settings.HUBSPOT_CLIENT_SECRET = "the-app's"
    Provider.verify(delivery_a(), Trust(secrets={name: SECRET}))
    settings.HUBSPOT_CLIENT_SECRET = SECRET
    with pytest.raises(BadSignature):
        Provider.verify(delivery_a(), Trust(secrets={name: "the tenant's own"}))


def test_without_a_secret_nothing_is_believed(settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_SECRET = ""
    empty = {V3: signatures.signature_v3("", "POST", ADDRESS, BODY_A, STAMP_A), TIMESTAMP: STAMP_A}
    with pytest.raises(BadSignature, match="HUBSPOT_CLIENT_SECRET"):
        Provider.verify(delivery_a(headers=empty), Trust(secrets={"client_secret": ""}))


def test_a_refusal_shows_neither_secret_nor_signature() -> None:
    with pytest.raises(BadSignature) as refusal:
        Provider.verify(delivery_a(body=b"[]"), TRUST)
    shown = f"{refusal.value.message} {refusal.value.detail}"
    assert SECRET not in shown
    assert V3_A not in shown


# --- every bit counts -----------------------------------------------------------------------------------------------


def with_bit_changed(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def changed_text(text: str, bit: int) -> str:
    return with_bit_changed(text.encode("latin-1"), bit).decode("latin-1")


@pytest.mark.parametrize(
    ("url", "body", "stamp", "signature"),
    [(ADDRESS, BODY_A, STAMP_A, V3_A), (URL_B, BODY_B, STAMP_B, V3_B)],
    ids=["A", "B"],
)
@pytest.mark.parametrize("part", ["body", "signature", "time", "url", "method"])
def test_every_single_bit_of_a_delivery_is_protected(
    part: str, url: str, body: bytes, stamp: str, signature: str
) -> None:
    whole = {"method": "POST", "url": url, "body": body.decode("latin-1"), "signature": signature, "time": stamp}
    for bit in range(len(whole[part]) * 8):
        if part == "method" and bit % 8 == 5:
            continue  # that bit tells small letters from capitals, and methods are compared in capitals
        forged = {**whole, part: changed_text(whole[part], bit)}
        headers = {V3: forged["signature"], TIMESTAMP: forged["time"]}
        delivery = Delivery(
            forged["method"], forged["url"], headers, forged["body"].encode("latin-1"), at(stamp, timedelta(seconds=1))
        )
        with pytest.raises(BadSignature):
            Provider.verify(delivery, TRUST)


@trials(deadline=None)
@given(
    body=st.binary(min_size=1, max_size=300),
    query=st.text(alphabet="abcXYZ019=&%+:/?@!$'()*,;-._~", max_size=60),
    secret=st.text(min_size=1, max_size=40),
    bit=st.integers(min_value=0),
    part=st.sampled_from(["body", "url", "signature", "time"]),
)
def test_no_bit_of_any_delivery_can_be_changed(body: bytes, query: str, secret: str, bit: int, part: str) -> None:
    url, trust = f"{ADDRESS}?{query}", Trust(secrets={"webhook_secret": secret})
    signature = signatures.signature_v3(secret, "POST", url, body, STAMP_A)
    whole = {"url": url, "body": body.decode("latin-1"), "signature": signature, "time": STAMP_A}
    Provider.verify(Delivery("POST", url, {V3: signature, TIMESTAMP: STAMP_A}, body, at(STAMP_A)), trust)
    forged = {**whole, part: changed_text(whole[part], bit % (len(whole[part]) * 8))}
    headers = {V3: forged["signature"], TIMESTAMP: forged["time"]}
    delivery = Delivery("POST", forged["url"], headers, forged["body"].encode("latin-1"), at(STAMP_A))
    with pytest.raises(BadSignature):
        Provider.verify(delivery, trust)
