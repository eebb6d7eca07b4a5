"""Sessions and cookies: what they say, when they begin anew, and when they end."""

import time
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from config import idling
from sync import tasks
from tests.attacks.conftest import PASSWORD

PAGE = "/admin/"


def log_in(person: User, client: Client | None = None) -> Client:
    browser = client or Client()
    answer = browser.post("/admin/login/", {"username": person.username, "password": PASSWORD})
    assert answer.status_code == 302
    return browser


def is_in(client: Client, **headers: Any) -> bool:
    return client.get(PAGE, **headers).status_code == 200


def end_of(client: Client) -> Any:
    return Session.objects.get(pk=client.cookies[settings.SESSION_COOKIE_NAME].value).expire_date


def test_cookies_are_for_this_site_alone_and_the_session_for_no_script(ann: User, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    browser = Client()
    browser.get("/admin/login/")
    log_in(ann, browser)
    browser.get("/people/profile/")
    session, token = browser.cookies["sessionid"], browser.cookies["csrftoken"]
    assert (session["httponly"], session["secure"], session["samesite"]) == (True, True, "Lax")
    assert (token["secure"], token["samesite"]) == (True, "Lax")
    assert not session["domain"]
    assert 0 < int(session["max-age"]) <= settings.SESSION_COOKIE_AGE


def test_cookies_are_sent_over_https_alone_where_the_site_has_it() -> None:
    assert settings.PUBLIC_URL.startswith("https://") == settings.SESSION_COOKIE_SECURE == settings.CSRF_COOKIE_SECURE


def test_logging_in_begins_a_new_session_so_that_one_planted_before_is_worth_nothing(ann: User) -> None:
    victim, attacker = Client(), Client()
    victim.cookies["sessionid"] = attacker.cookies["sessionid"] = "plantedplantedplantedplanted1234"
    log_in(ann, victim)
    assert victim.cookies["sessionid"].value != "plantedplantedplantedplanted1234"
    assert is_in(victim)
    assert not is_in(attacker)


def test_a_session_ends_with_the_password_it_began_with(ann: User) -> None:
    browser = log_in(ann)
    assert is_in(browser)
    ann.set_password("another-long-password-5")
    ann.save()
    assert not is_in(browser)


def test_a_session_ends_when_the_person_is_switched_off(ann: User) -> None:
    browser = log_in(ann)
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert not is_in(browser)


def test_logging_out_ends_the_session_for_whoever_kept_the_cookie(ann: User) -> None:
    browser, copy = log_in(ann), Client()
    copy.cookies["sessionid"] = browser.cookies["sessionid"].value
    assert is_in(copy)
    browser.post("/admin/logout/")
    assert not is_in(copy)


def test_using_a_session_puts_its_end_off_and_leaving_it_alone_does_not(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = log_in(ann)
    began = end_of(browser)
    assert is_in(browser)
    assert end_of(browser) == began, "not written with every page"
    after = time.time() + idling.PRECISION + 1
    monkeypatch.setattr("config.idling.time.time", lambda: after)
    assert is_in(browser, headers={"X-Live": "1"})
    assert end_of(browser) == began, "a page that asks by itself is used by nobody"
    assert is_in(browser)
    assert end_of(browser) > began


def test_a_session_that_nobody_used_for_long_is_over(ann: User) -> None:
    browser = log_in(ann)
    Session.objects.update(expire_date="2026-01-01T00:00:00Z")
    assert not is_in(browser)


@pytest.mark.parametrize(
    "value", ['"\\000abcdefghijk"', "x" * 5000, '"\\377\\376abcdefgh"', "', ''); --", "\xe9" * 40], ids=range(5)
)
@pytest.mark.parametrize(
    "name", ["sessionid", "csrftoken", "timezone", "browser_timezone", "messages", "django_language"]
)
def test_cookies_full_of_rubbish_are_no_error(db: None, name: str, value: str) -> None:
    for address in ("/admin/login/", "/admin/", "/people/password/"):
        answer = Client(HTTP_COOKIE=f"{name}={value}").get(address)
        assert answer.status_code in {200, 302}, (name, address)


def test_expired_sessions_are_swept_away(ann: User) -> None:
    log_in(ann)
    Session.objects.update(expire_date="2026-01-01T00:00:00Z")
    tasks.tidy()
    assert not Session.objects.exists()
