"""API keys: shown once, rotated with an overlap, ended by time or by hand, and what each was used for."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from integrations import keys, tenancy
from integrations.models import ApiKey, Tenant
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

LIST = pages.page(ApiKey, "changelist")
FEED = "/api/v1/contacts/"


@pytest.fixture
def boss(tenant: Tenant, sign_in: SignIn) -> Client:
    return sign_in(factories.tenant_admin(tenant))


def asked(key: str) -> int:
    return Client(headers={"Authorization": f"Bearer {key}"}).get(FEED).status_code


def shown_key(page: str) -> str:
    found = re.search(r"dbk_[0-9a-f]{8}_[\w-]{20,}", page)
    assert found, "the page shows the key"
    return found[0]


def made(client: Client, **more: str) -> str:
    fields = {"name": "Dialer", "good_for": "", **more}
    return shown_key(client.post("/admin/integrations/apikey/add/", fields, follow=True).content.decode())


def the_key() -> ApiKey:
    with tenancy.everyone():
        found: ApiKey = ApiKey.objects.select_related("tenant").latest("created_at")
    return found


def test_the_empty_page_says_how_the_dialer_signs_in(boss: Client) -> None:
    shown = pages.html(boss, LIST)
    assert "There is no key yet" in shown
    assert "curl -H" in shown
    assert re.search(r"<details[^>]* open>", shown)


def test_a_key_is_shown_once_with_a_button_that_copies_it(boss: Client) -> None:
    key = made(boss)
    assert asked(key) == 200
    assert key not in pages.html(boss, pages.page(ApiKey, "change", the_key().pk))


def test_a_key_may_run_out_by_itself(boss: Client) -> None:
    key = made(boss, good_for="30")
    row = the_key()
    assert row.expires_at
    assert timedelta(days=29) < row.expires_at - timezone.now() < timedelta(days=31)
    with tenancy.everyone():
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert asked(key) == 401
    assert "Run out" in pages.html(boss, LIST)


@pytest.mark.parametrize(("hours", "still"), [("24", 200), ("0", 401)], ids=["a day of overlap", "at once"])
def test_a_rotated_key_works_on_for_as_long_as_was_said(hours: str, still: int, boss: Client) -> None:
    old = made(boss)
    address = f"/admin/integrations/apikey/{the_key().pk}/rotate/"
    assert "The old key works on for" in pages.html(boss, address)
    new = shown_key(boss.post(address, {"hours": hours}, follow=True).content.decode())
    assert new != old
    assert asked(new) == 200
    assert asked(old) == still


def test_rotating_never_lengthens_a_keys_life(tenant: Tenant) -> None:
    soon = timezone.now() + timedelta(minutes=5)
    with tenancy.everyone():
        key = ApiKey.issue(tenant, "Dialer", soon)[0]
        keys.rotate(key, 168)
        assert ApiKey.objects.get(pk=key.pk).expires_at == soon


def test_what_a_key_was_used_for_stands_on_its_page(boss: Client) -> None:
    key = made(boss)
    asked(key)
    shown = pages.html(boss, pages.page(ApiKey, "change", the_key().pk))
    assert "GET /api/v1/contacts/" in shown


def test_a_use_is_written_down_once_in_five_minutes(boss: Client) -> None:
    key = made(boss)
    asked(key)
    first = the_key().last_used_at
    asked(key)
    assert the_key().last_used_at == first


def test_a_revoked_key_cannot_be_rotated(boss: Client) -> None:
    made(boss)
    row = the_key()
    boss.post(f"/admin/integrations/apikey/{row.pk}/revoke/")
    shown = boss.get(f"/admin/integrations/apikey/{row.pk}/rotate/", follow=True).content.decode()
    assert "This key is over" in shown
