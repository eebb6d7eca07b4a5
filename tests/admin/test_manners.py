"""What holds for every page, found by itself: few queries, small answers, our look, words that can be translated, a way on."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import reset_queries
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from activities.models import Call
from config import theme
from config.middleware import zone_of
from integrations import tenancy
from integrations.admin_base import AdminPage
from integrations.models import Tenant
from sync.models import Contact
from tests import factories
from tests.admin import pages, test_pages
from tests.admin.conftest import SignIn
from tests.factories import World

ROOT = Path(settings.BASE_DIR)
MOST_QUERIES = 14
LARGEST = 300_000
LARGEST_LIST = 600_000
MOST_ENTRIES = 21


def addresses(world: World) -> Iterator[str]:
    """Every page, except those of history and deletion, of which one each is enough."""
    yield from sorted({*pages.plain_urls()})
    for url in pages.row_urls(world):
        if "/history/" in url or "/delete/" in url:
            if "/sync/contact/" in url:
                yield url
        elif not re.search(r"/admin/r/|^/admin/[a-z_]+/[a-z_]+/[^/]+/$", url):
            yield url


def test_every_page_takes_few_queries_and_is_small(
    ours: World, sign_in: SignIn, settings: Any, record_property: Any
) -> None:
    test_pages._fill(ours)
    client, wrong, slowest = sign_in(factories.superuser()), [], (0, "")
    client.get("/admin/")  # what is read once per process
    for url in addresses(ours):
        reset_queries()
        with CaptureQueriesContext(database) as asked:
            answer = client.get(url)
        if answer.status_code != 200 or answer.streaming:
            assert answer.status_code in (200, 302, 403, 404, 405), f"{url} answered {answer.status_code}"
            continue
        slowest = max(slowest, (len(asked), url))
        largest = LARGEST_LIST if re.fullmatch(r"/admin/\w+/\w+/", url) else LARGEST
        if len(asked) > MOST_QUERIES:
            wrong.append(f"{url} takes {len(asked)} queries")
        if len(answer.content) > largest:
            wrong.append(f"{url} has {len(answer.content):,} bytes")
    record_property("most queries", slowest)
    assert not wrong, "\n".join(wrong)


def test_every_model_has_a_page_in_our_look() -> None:
    foreign = [model._meta.label for model, page in admin.site._registry.items() if not isinstance(page, AdminPage)]
    assert not foreign, f"These pages come from elsewhere: {foreign}. Register them anew, on AdminPage."


# --- the menu -------------------------------------------------------------------------------------------------------


def menu_of(person: User) -> list[dict[str, Any]]:
    request: Any = RequestFactory().get("/admin/")
    request.user = User.objects.get(pk=person.pk)
    request.resolver_match = None
    with tenancy.everyone():
        return list(admin.site.get_sidebar_list(request))  # type: ignore[attr-defined]


def entries(groups: list[dict[str, Any]], *, folded: bool) -> list[str]:
    return [
        str(item["title"])
        for group in groups
        if bool(group.get("collapsible")) is folded
        for item in group["items"]
        if item["has_permission"]
    ]


def test_a_tenant_admin_sees_a_menu_that_fits_on_a_screen(tenant: Tenant) -> None:
    shown = entries(menu_of(factories.tenant_admin(tenant)), folded=False)
    assert {"Health", "Contacts", "Connections", "API keys", "Members"} <= set(shown)
    assert len(shown) <= MOST_ENTRIES, shown


@pytest.mark.thorough
def test_nobody_is_shown_an_entry_that_leads_nowhere(tenant: Tenant, sign_in: SignIn) -> None:
    for person in (factories.tenant_admin(tenant), factories.viewer(tenant), factories.support()):
        client, groups = sign_in(person), menu_of(person)
        for group in groups:
            for item in group["items"]:
                if item["has_permission"]:
                    link = str(item.get("link_callback") or item["link"])
                    answer = client.get(link, follow=True)
                    assert answer.status_code == 200, f"{person}: {item['title']} answered {answer.status_code}"


def test_every_page_of_the_menu_is_there_and_every_list_is_in_the_menu() -> None:
    text = str(
        [str(item["link"]) for group in theme.NAVIGATION for item in group["items"] if not callable(item["link"])]
    )
    lists = {pages.page(model, "changelist") for model in pages.registered()}
    elsewhere = {address for address in lists if address not in text}
    known = {
        pages.page(model, "changelist") for model in pages.registered() if model._meta.model_name in REACHED_OTHERWISE
    }
    assert elsewhere <= known, f"In no menu: {sorted(elsewhere - known)}"


REACHED_OTHERWISE = {"conflict", "conflictpolicy", "fieldmapping", "callsettings", "alertsettings"}
"""Lists whose entry leads to a page of their own."""


# --- times ----------------------------------------------------------------------------------------------------------


def test_times_are_shown_in_the_browsers_zone_or_the_persons_own_and_say_so(tenant: Tenant, sign_in: SignIn) -> None:
    factories.contact(tenant)
    client = sign_in(factories.tenant_admin(tenant))

    def zone() -> str:
        shown = re.search(r'<time [^>]*title="[^"]* ([^" ]+)"', pages.html(client, pages.page(Contact, "changelist")))
        return shown[1] if shown else ""

    client.cookies["browser_timezone"] = "Asia%2FTokyo"
    assert zone() == "Asia/Tokyo"
    client.post("/people/profile/", {"zone": "Europe/Berlin"})
    assert zone() == "Europe/Berlin"
    client.post("/people/profile/", {"zone": ""})
    assert zone() == "Asia/Tokyo"


def test_a_page_is_named_by_the_moment_in_the_viewers_zone(tenant: Tenant, sign_in: SignIn) -> None:
    call = factories.call(tenant, started_at=datetime(2026, 1, 5, 23, 30, tzinfo=UTC))
    client = sign_in(factories.tenant_admin(tenant))
    client.cookies["browser_timezone"] = "Asia%2FTokyo"
    assert "Connected 01/06/2026 8:30 a.m." in pages.html(client, pages.page(Call, "change", call.pk))


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "Europe/Berlin\x00"])
def test_a_zone_that_does_not_exist_is_passed_over(zone: str) -> None:
    request = RequestFactory().get("/")
    request.COOKIES["browser_timezone"] = zone
    assert zone_of(request) is None


def test_the_profile_refuses_a_zone_that_does_not_exist(tenant: Tenant, sign_in: SignIn) -> None:
    answer = sign_in(factories.tenant_admin(tenant)).post("/people/profile/", {"zone": "Mars/Olympus"})
    assert "There is no such time zone" in answer.content.decode()


# --- error pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "status"), [("/nowhere/", 404), ("/admin/auth/group/add/", 403)])
def test_an_error_page_says_what_happened_and_leads_on(
    address: str, status: int, tenant: Tenant, sign_in: SignIn
) -> None:
    answer = sign_in(factories.tenant_admin(tenant)).get(address)
    assert answer.status_code == status
    page = answer.content.decode()
    assert 'href="/admin/"' in page
    assert "dialbridge/page.css" in page


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_each_error_has_a_page_that_needs_nothing_else(status: int, rf: RequestFactory) -> None:
    handler: Any = get_resolver().resolve_error_handler(status)
    answer = handler(rf.get("/")) if status == 500 else handler(rf.get("/"), ValueError("boom"))
    page = answer.content.decode()
    assert 'href="/admin/"' in page
    assert "boom" not in page


def test_a_form_that_was_open_for_too_long_gets_a_page_too(tenant: Tenant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.tenant_admin(tenant))
    answer = client.post("/people/profile/", {"zone": ""})
    assert answer.status_code == 403
    shown = answer.content.decode()
    assert "open for too long" in shown
    assert '<a href="/people/profile/">Open the page again</a>' in shown


# --- translation ----------------------------------------------------------------------------------------------------

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
OURS = ("config", "integrations", "mapping", "sync", "activities", "templates")
_CODE = re.compile(
    r"{%\s*comment.*?endcomment\s*%}|{%.*?%}|{{.*?}}|{#.*?#}|<!--.*?-->|<pre.*?</pre>|<code.*?</code>", re.DOTALL
)
_ICON = re.compile(r"<span[^>]*material-symbols-outlined[^>]*>.*?</span>", re.DOTALL)
_BODY = re.compile(r"{%\s*block bodyclass.*?endblock\s*%}", re.DOTALL)
_MARKED = re.compile(r"{%\s*blocktrans.*?endblocktrans\s*%}", re.DOTALL)
UNTRANSLATED = {"Dialbridge", "API", "CRM", "CSV", "JSON"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: str(one.relative_to(ROOT)))
def test_a_template_has_no_words_that_cannot_be_translated(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    for ours in (_BODY, _ICON, _MARKED, _CODE):
        text = ours.sub(" ", text)
    words = [word for piece in re.split(r"<[^>]*>", text) for word in re.findall(r"[A-Za-z]{3,}", piece)]
    assert [word for word in words if word not in UNTRANSLATED] == []


GATHERED = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext"}


def test_the_words_of_the_code_can_be_gathered_for_translators() -> None:
    wrong, found = [], 0
    for file in (file for folder in OURS for file in (ROOT / folder).rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in GATHERED:
                found += 1
                if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
                    wrong.append(f"{file.relative_to(ROOT)}:{call.lineno}")
    assert found > 500
    assert wrong == [], "Words that are put together before they are looked up are never found in a translation."
