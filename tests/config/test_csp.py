"""What a browser may do with our pages, as the headers say it."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import get_template
from django.test import Client

from config import theme_templates
from integrations.models import Tenant
from tests import factories

STRICT = {
    "default-src": "'none'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
}
OUTSIDE = ("/people/password/", "/api/docs/", "/nowhere/", "/")
INSIDE = ("/admin/", "/admin/sync/contact/", "/admin/integrations/apikey/add/", "/people/profile/", "/admin/nowhere/")


def policy(response: object) -> dict[str, str]:
    text = response["Content-Security-Policy"]  # type: ignore[index]
    return dict(part.strip().partition(" ")[::2] for part in text.split(";") if part.strip())


@pytest.fixture
def signed_in(tenant: Tenant) -> Client:
    client = Client()
    client.force_login(factories.tenant_admin(tenant))
    return client


@pytest.mark.parametrize("address", [*OUTSIDE, *INSIDE])
def test_every_answer_has_the_strict_policy_and_its_companions(address: str, signed_in: Client) -> None:
    answer = signed_in.get(address)
    said = policy(answer)
    assert {name: said.get(name) for name in STRICT} == STRICT
    assert "unsafe-inline" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


@pytest.mark.parametrize("address", ["/api/docs/", "/nowhere/", "/"])
def test_expressions_are_evaluated_on_the_themes_pages_alone(address: str, signed_in: Client) -> None:
    assert policy(signed_in.get(address))["script-src"] == "'self'"
    assert policy(signed_in.get("/admin/"))["script-src"] == "'self' 'unsafe-eval'"


def test_the_one_style_of_the_theme_has_a_nonce_that_changes(signed_in: Client) -> None:
    nonces = set()
    for _visit in range(2):
        answer = signed_in.get("/admin/")
        nonce = re.search(r"'nonce-([^']+)'", policy(answer)["style-src"])
        assert nonce
        assert f'<style nonce="{nonce[1]}" id="unfold-theme-colors">' in answer.content.decode()
        nonces.add(nonce[1])
    assert len(nonces) == 2


@pytest.mark.parametrize("address", [*INSIDE, "/people/password/", "/api/docs/"])
def test_no_page_has_a_script_a_style_or_a_handler_in_it(address: str, signed_in: Client) -> None:
    page = signed_in.get(address).content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page)
    assert not re.search(r"<style(?![^>]*nonce=)", page)
    assert not re.search(r"<[^>]+\s(on[a-z]+|style)=\"", page)


def test_each_correction_of_the_theme_finds_its_place() -> None:
    def text_of(name: str) -> str:
        origin: Any = get_template(name).origin  # type: ignore[attr-defined]
        return Path(origin.name).read_text(encoding="utf-8")

    assert theme_templates.misplaced(text_of) == []


def test_icons_are_no_words_for_a_screen_reader(signed_in: Client) -> None:
    page = signed_in.get("/admin/").content.decode()
    icons = re.findall(r"<span[^>]*material-symbols-outlined[^>]*>", page)
    assert icons
    assert [icon for icon in icons if "aria-hidden" not in icon and "role=" not in icon] == []


def test_an_answer_that_brings_its_own_policy_keeps_it(db: None) -> None:
    User.objects.create_user("somebody")
    page = Client(headers={"accept": "text/html"}).get("/api/recordings/00000000-0000-0000-0000-000000000000/play")
    assert "form-action 'none'" in page["Content-Security-Policy"]
