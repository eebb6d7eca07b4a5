"""The REST interface, walked from its router: another tenant's rows are not there, and no list shows them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from activities.models import Call
from integrations import tenancy
from integrations.models import ApiKey, Tenant
from sync.models import Contact
from tests.factories import World

SAMPLES: dict[str, type[Model]] = {"contact_id": Contact, "call_id": Call}
"""Parameter of an address → whose row it names."""
PREFIX = "api/v1/"
METHODS = ("get", "put", "patch", "delete", "post")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def endpoints() -> Iterator[tuple[str, set[str], list[str]]]:
    """(address, its parameters, methods) of every endpoint."""
    for text, pattern in _patterns(get_resolver().url_patterns, ""):
        if text.startswith(PREFIX):
            view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
            yield text, set(_PARAMETER.findall(text)), [name for name in METHODS if hasattr(view, name)]


def _patterns(urls: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for one in urls:
        text = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, text)
        else:
            yield text, one


def filled(text: str, world: World) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in SAMPLES:
            pytest.fail(f"{text} takes {found[1]!r}: say in SAMPLES of {__name__} which model's row that is.")
        return str(world[SAMPLES[found[1]]].pk)

    return "/" + _PARAMETER.sub(value, text)


@pytest.fixture
def dialer(tenant: Tenant, ours: World) -> Client:
    """A client with a key of `ours`."""
    with tenancy.everyone():
        key = ApiKey.issue(tenant, "Dialer")[1]
    return Client(headers={"Authorization": f"Bearer {key}"})


def test_another_tenants_row_is_not_there(dialer: Client, theirs: World) -> None:
    tried = []
    for text, parameters, methods in endpoints():
        for method in methods if parameters else ():
            url = filled(text, theirs)
            response = getattr(dialer, method)(url, data={}, content_type="application/json")
            assert response.status_code == 404, f"{method.upper()} {url} answered {response.status_code}"
            assert "stranger" not in response.content.decode().lower()
            tried.append(url)
    assert tried


def test_a_tenants_own_row_is_there(dialer: Client, ours: World) -> None:
    for text, parameters, methods in endpoints():
        if parameters and "get" in methods:
            assert dialer.get(filled(text, ours)).status_code == 200, text


def test_no_list_shows_another_tenants_rows(dialer: Client, ours: World, theirs: World) -> None:
    tried = []
    for text, parameters, methods in endpoints():
        if not parameters and "get" in methods:
            response = dialer.get(f"/{text}")
            assert response.status_code == 200, text
            shown = response.content.decode().lower()
            assert "stranger" not in shown, text
            assert str(theirs[Tenant].pk) not in shown, text
            tried.append(text)
    assert tried


def test_another_tenants_contact_cannot_be_called(dialer: Client, theirs: World, tenant: Tenant) -> None:
    body = {
        "external_id": "sneaky", "contact_id": str(theirs[Contact].pk), "duration_seconds": 1,
        "started_at": "2026-01-21T14:30:00Z",
    }  # fmt: skip
    response = dialer.post("/api/v1/calls/", body, content_type="application/json")
    assert response.status_code == 400
    with tenancy.everyone():
        assert not Call.objects.filter(external_id="sneaky").exists()


def test_a_session_of_the_admin_opens_no_endpoint(ours: World) -> None:
    client = Client()
    client.force_login(ours[User])
    for text, _parameters, methods in endpoints():
        if "get" in methods:
            assert client.get(filled(text, ours)).status_code == 401, text


def test_a_key_opens_no_page_of_the_admin(dialer: Client, ours: World) -> None:
    assert dialer.get("/admin/").status_code == 302
    assert dialer.get(f"/admin/sync/contact/{ours[Contact].pk}/change/").status_code == 302
