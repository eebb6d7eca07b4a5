"""Every address that there is, found from the URL patterns, with another tenant's ids: nothing is told and nothing is changed.

The admin's own pages are walked the same way in tests/admin/test_tenants.py, which finds them from its registry.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.http import urlsafe_base64_encode

from activities.models import Call
from integrations import tenancy
from integrations.models import ApiKey, CrmConnection, Tenant
from sync.models import Contact
from tests.factories import World

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REFUSALS = {400, 401, 403, 404, 405, 409, 410, 415}
PUBLIC = {"/healthz", "/readyz", "/api/schema/", "/api/docs/", "/"}
"""They tell the same to everybody."""
ELSEWHERE = re.compile(r"^(?:admin/|\^static/)")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
BODY = '{"first_name": "Changed", "notes": "Changed", "who": "x@example.com"}'

IDS: dict[str, Callable[[World], str]] = {
    "call_id": lambda world: str(world[Call].pk),
    "contact_id": lambda world: str(world[Contact].pk),
    "uidb64": lambda world: urlsafe_base64_encode(str(world[User].pk).encode()),
    "provider": lambda world: str(world[CrmConnection].provider),
    "slug": lambda world: str(world[CrmConnection].provider),
}
"""What each parameter of an address names of a tenant."""


def value_of(name: str, text: str, world: World) -> str:
    if name == "token":  # of a delivery it is an id, of a link in a mail a signed text
        return str(world[CrmConnection].webhook_token) if text.startswith("webhooks/") else "a-token-of-nobody"
    if name not in IDS:
        pytest.fail(f"The address {text} takes {name}: say in {__name__} what that names.")
    return IDS[name](world)


def addresses(world: World, patterns: Any = None, prefix: str = "") -> Iterator[str]:
    for one in get_resolver().url_patterns if patterns is None else patterns:
        text = prefix + str(one.pattern)
        if ELSEWHERE.match(text):
            continue
        if isinstance(one, URLResolver):
            yield from addresses(world, one.url_patterns, text)
        elif isinstance(one, URLPattern) and "^" not in text:
            yield "/" + _PARAMETER.sub(lambda found, text=text: value_of(found[1], text, world), text)  # type: ignore[misc]


def visitors(ours: World, tenant: Tenant) -> dict[str, Client]:
    admin, key = Client(), Client()
    admin.force_login(ours[User])
    with tenancy.everyone():
        text = ApiKey.issue(tenant, "walker")[1]
    key.defaults["HTTP_AUTHORIZATION"] = f"Bearer {text}"
    return {"nobody": Client(), "an admin of another tenant": admin, "a key of another tenant": key}


def rows_of(world: World) -> list[Any]:
    """All that must stay as it is."""
    with tenancy.everyone():
        return [
            list(model.objects.filter(pk=world[model].pk).values()) for model in (Contact, Call, CrmConnection, Tenant)
        ]


def told(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return f"{content.decode('utf-8', 'replace')} {answer.headers}".lower()


def test_no_address_tells_or_changes_anything_of_another_tenant(ours: World, theirs: World, tenant: Tenant) -> None:
    before, walked = rows_of(theirs), list(addresses(theirs))
    for who, client in visitors(ours, tenant).items():
        for address in walked:
            for method in METHODS:
                answer = client.generic(method, address, BODY, content_type="application/json")
                what = f"{method} {address} by {who}: {answer.status_code}"
                assert answer.status_code < 500, what
                assert "stranger" not in told(answer).replace(address.lower(), ""), what
                if _names_a_row(address, theirs):
                    assert answer.status_code in REFUSALS or _leads_to_the_log_in(answer), what
    assert rows_of(theirs) == before
    assert len(walked) > 20
    assert sum(_names_a_row(address, theirs) for address in walked) >= 5


def test_the_walk_would_notice(theirs: World, stranger: Tenant) -> None:
    """The same addresses open for whoever may."""
    with tenancy.everyone():
        text = ApiKey.issue(stranger, "own")[1]
    own = Client(HTTP_AUTHORIZATION=f"Bearer {text}")
    opened = [one for one in addresses(theirs) if _names_a_row(one, theirs) and own.get(one).status_code == 200]
    assert len(opened) >= 2
    assert any("stranger" in told(own.get(one)) for one in opened)


def _names_a_row(address: str, world: World) -> bool:
    return any(str(world[model].pk) in address for model in (Call, Contact))


def _leads_to_the_log_in(answer: Any) -> bool:
    return bool(answer.status_code == 302 and "/admin/login/" in answer["Location"])


# --- ids that are none ------------------------------------------------------------------------------------------------

ODD = ("0", "-1", "1e9", "%00", "%0d%0a", "..%2f..%2f", "' OR 1=1 --", "00000000-0000-0000-0000-000000000000", "%ff",
    "a" * 3000, "%F0%9F%92%A9")  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_ids_that_are_none_are_not_there(odd: str, ours: World, tenant: Tenant) -> None:
    places = ("/api/v1/contacts/{}/", "/api/v1/calls/{}/", "/api/recordings/{}/play", "/webhooks/hubspot/{}/", "/webhooks/{}/",
              "/connect/{}/", "/people/join/{}/", "/admin/sync/contact/{}/change/",
              "/admin/activities/call/{}/history/", "/admin/auth/user/{}/change/",
              "/admin/integrations/crmconnection/{}/delete/")  # fmt: skip
    for who, client in visitors(ours, tenant).items():
        for place in places:
            answer = client.get(place.replace("{}", odd))
            assert answer.status_code < 500, (place, who)
            assert answer.status_code in REFUSALS | {301, 302}, (place, who, answer.status_code)


QUERIES = (
    "q=%00", "p=99999999999999999999", "o=99.-1.x", "status=%00", "connection__id__exact=%00", "at__gte=99999-01-01", "part=%00",
    "tenant__id__exact=' OR 1=1", "_popup=1&_to_field=password", "page=%00&tenant=%00&connection=%00&run=%00&provider=%00",
)  # fmt: skip
LISTS = ("integrations/crmconnection", "integrations/auditentry", "integrations/apiexchange", "sync/contact", "sync/syncjob",
    "sync/inboxevent",
         "sync/conflict", "activities/call", "mapping/fieldmapping")  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_odd_queries_are_no_error_on_any_list(query: str, ours: World) -> None:
    client = Client()
    client.force_login(ours[User])
    for name in LISTS:
        answer = client.get(f"/admin/{name}/?{query}")
        assert answer.status_code in {200, 302, 400, 403}, (name, answer.status_code)


def test_no_list_can_be_filtered_by_what_is_secret(ours: World) -> None:
    """Else a secret could be found out letter by letter."""
    client = Client()
    client.force_login(ours[User])
    for address in ("/admin/integrations/crmconnection/", "/admin/sync/syncjob/", "/admin/integrations/apikey/"):
        for field in (
            "access_token",
            "key_hash",
            "connection__access_token",
            "webhook_token",
            "tenant__crmconnection__access_token",
        ):
            answer = client.get(address, {f"{field}__startswith": "p"})
            assert answer.status_code in {302, 400}, (address, field)


@pytest.mark.parametrize("address", ["contacts/?cursor=%00", "contacts/?provider=a%00", "calls/?external_id=a%00"])
def test_what_the_database_cannot_hold_is_refused_before_it_is_asked(address: str, api_key: str) -> None:
    answer = Client(HTTP_AUTHORIZATION=f"Bearer {api_key}").get(f"/api/v1/{address}")
    assert answer.status_code == 400
    assert "Null characters are not allowed" in answer.json()["detail"]
    assert database.is_usable()
