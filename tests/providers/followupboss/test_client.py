"""Connecting and reading, against the fake service over real HTTP."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import seed
from integrations.providers.followupboss.schema import heads
from integrations.records.connections import Credential
from integrations.records.limits import RateHint
from integrations.records.remote import RemoteRecord
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Connect, api_key
from tests.providers.harness import connect, token_call

PATHS = [row.crm_field for row in Provider.default_mappings]
OAUTH = {"auth": "oauth", "access_token": seed.ACCESS_TOKEN, "refresh_token": seed.REFRESH_TOKEN}
NOW = datetime(2026, 1, 21, 12, tzinfo=UTC)


def change(server: SandboxServer, person_id: int, **values: Any) -> None:
    url = f"{server.url}/v1/people/{person_id}"
    requests.put(url, json=values, auth=(seed.OWNER_KEY, ""), timeout=5).raise_for_status()


def read_all(connected: Connect, cursor: dict[str, Any] | None = None, **options: Any) -> list[RemoteRecord]:
    provider, _ = connected(**options)
    return [record for page in provider.changes("people", cursor, PATHS) for record in page.records]


# --- connecting -----------------------------------------------------------------------------------------------------


def test_the_owner_is_identified_without_warnings(connected: Connect) -> None:
    account = connected()[0].identify()
    assert (account.external_id, account.name, account.user) == (
        "1234567",
        "Harbor View Realty",
        "dana@harborview.example",
    )
    assert account.url == "https://harborview.followupboss.com"
    assert account.warnings == ()


def test_an_agents_key_is_warned_about_because_it_sees_only_its_own_people(connected: Connect) -> None:
    (warning,) = connected(seed.AGENT_KEY)[0].identify().warnings
    assert "avery@harborview.example (role: agent)" in warning
    assert "Connect with the key of the account's owner or of an admin" in warning


def test_a_missing_system_registration_is_warned_about(connected: Connect, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_SYSTEM_KEY = ""
    (warning,) = connected()[0].identify().warnings
    assert "FOLLOWUPBOSS_SYSTEM_KEY" in warning


def test_a_refused_key_needs_a_person(connected: Connect) -> None:
    with pytest.raises(errors.Reconnect, match="Connect again"):
        connected("fka_wrong")[0].identify()
    assert not Provider.renewable(api_key("fka_wrong"))


def test_preparing_remembers_the_role_and_the_web_address(connected: Connect) -> None:
    provider, _ = connected(seed.ADMIN_KEY)
    found = provider.prepare()
    assert (found["role"], found["sees_everybody"], found["warnings"]) == ("broker", True, [])
    provider, _ = connected(metadata=found)
    assert provider.record_url("people", "12") == "https://harborview.followupboss.com/2/people/view/12"
    assert provider.record_url("calls", "12") == ""


def test_a_key_is_sent_as_the_user_name_with_the_system_headers(server: SandboxServer) -> None:
    headers = Provider.auth_headers(api_key("fka_demo123"))
    assert headers == {
        "Authorization": "Basic ZmthX2RlbW8xMjM6",
        "X-System": "Dialbridge",
        "X-System-Key": "demo-system-key",
    }


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({"auth": "api_key"}, "api_key"),
        ({"auth": "oauth", "access_token": "a"}, "refresh_token"),
        ({"auth": "private_app"}, "api_key, oauth"),
    ],
    ids=["no key", "no refresh token", "unknown kind"],
)
def test_an_incomplete_credential_is_refused_by_name(data: dict[str, str], missing: str) -> None:
    with pytest.raises(errors.FixConfig, match=missing):
        Provider.parse_credential(data)


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_an_expired_token_is_refused_and_a_renewed_one_works(server: SandboxServer) -> None:
    credential = Provider.parse_credential(OAUTH)
    server.service.clock.advance(3601)
    with pytest.raises(errors.Reconnect):
        connect(Provider, server, credential)[0].identify()
    renewed = Provider.renew(credential, token_call, NOW)
    assert renewed.expires_at == NOW + timedelta(hours=1)
    assert connect(Provider, server, renewed)[0].identify().user == "dana@harborview.example"


def test_a_rotated_refresh_token_replaces_the_old_one(server: SandboxServer) -> None:
    first = Provider.renew(Provider.parse_credential(OAUTH), token_call, NOW)
    second = Provider.renew(first, token_call, NOW)
    assert first.refresh_token == seed.REFRESH_TOKEN
    assert second.refresh_token != seed.REFRESH_TOKEN
    Provider.renew(second, token_call, NOW)
    with pytest.raises(errors.Reconnect, match="refresh token is invalid, expired or revoked"):
        Provider.renew(first, token_call, NOW)


def test_a_tenants_own_app_comes_before_ours(server: SandboxServer, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID = settings.FOLLOWUPBOSS_CLIENT_SECRET = ""
    with pytest.raises(errors.FixConfig, match="FOLLOWUPBOSS_CLIENT_ID"):
        Provider.renew(Provider.parse_credential(OAUTH), token_call, NOW)
    own = Provider.parse_credential({**OAUTH, "client_id": seed.CLIENT_ID, "client_secret": seed.CLIENT_SECRET})
    assert Provider.renew(own, token_call, NOW).access_token != seed.ACCESS_TOKEN


def test_a_wrong_client_secret_is_our_operators_business(server: SandboxServer, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_SECRET = "wrong"
    with pytest.raises(errors.FixConfig, match="app registration") as caught:
        Provider.renew(Provider.parse_credential(OAUTH), token_call, NOW)
    assert caught.value.cause == "invalid_client"


def test_a_key_cannot_be_renewed(server: SandboxServer) -> None:
    with pytest.raises(errors.Reconnect):
        Provider.renew(api_key(seed.OWNER_KEY), token_call, NOW)


# --- fields ---------------------------------------------------------------------------------------------------------


def test_fields_are_described_with_stages_and_custom_fields(connected: Connect) -> None:
    described = {spec.path: spec for spec in connected()[0].describe("people")}
    assert ("Nurture", "Nurture") in described["stage"].options
    assert described["assignedTo"].kind == "user"
    language = described['customFields."Preferred Language"']
    assert (language.kind, language.custom, language.options[1]) == ("picklist", True, ("Español", "Español"))
    assert described['customFields."Last Called"'].kind == "date"
    assert not described["source"].writable


def test_every_default_mapping_names_a_field_that_is_offered(connected: Connect) -> None:
    provider, _ = connected()
    provider.prepare()
    offered = {spec.path for spec in provider.describe("people")}
    assert set(PATHS) <= offered
    assert len(PATHS) == 14


def test_a_second_field_with_the_same_label_goes_by_its_name(server: SandboxServer, connected: Connect) -> None:
    body = {"label": "company", "type": "text"}
    requests.post(f"{server.url}/v1/customFields", json=body, auth=(seed.OWNER_KEY, ""), timeout=5).raise_for_status()
    paths = [spec.path for spec in connected()[0].describe("people") if spec.label.lower() == "company"]
    assert paths == ['customFields."Company"', "customCompany7"]


def test_an_object_that_does_not_exist_is_unsupported(connected: Connect) -> None:
    provider, _ = connected()
    for ask in (
        lambda: provider.describe("Lead"),
        lambda: provider.changes("Lead", None, []),
        lambda: provider.fetch("Lead", [], []),
    ):
        with pytest.raises(errors.Unsupported, match="no Lead"):
            ask()


def test_the_steps_of_a_path_are_found_in_every_alternative() -> None:
    path = r'phones[type=work].value || customFields."A || B" || customFields.Plain||customFields."6\" pipe" || stage'
    assert list(heads([path])) == [
        ("phones", ""),
        ("customFields", "A || B"),
        ("customFields", "Plain"),
        ("customFields", '6" pipe'),
        ("stage", ""),
    ]


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_first_run_reads_everybody_once_in_full_pages(connected: Connect) -> None:
    provider, api = connected()
    pages = list(provider.changes("people", None, PATHS))
    ids = [record.id for page in pages for record in page.records]
    assert len(ids) == len(set(ids)) == seed.PEOPLE
    assert ids == sorted(ids, key=int)
    assert pages[0].total == seed.PEOPLE
    assert api.calls.count("GET /people") == 13
    assert api.calls.count("GET /users") == api.calls.count("GET /customFields") == 1


def test_a_record_reads_by_mapping_paths_and_keeps_the_raw_answer(server: SandboxServer, connected: Connect) -> None:
    change(server, 1001, assignedUserId=4, customCompany="Oak & Ash", customDialerCallCount=3)
    provider, _ = connected()
    record = provider.fetch("people", ["1001"], PATHS).records[0]
    assert record.fields["assignedTo"] == "priya@harborview.example"
    assert record.fields["customFields"] == {
        "Company": "Oak & Ash",
        "Title": record.raw["customTitle"],
        "Last Called": None,
        "Dialer Call Count": 3,
        "Last AI Score": None,
    }
    assert record.raw["assignedTo"] == "Priya Nair"
    assert "customFields" not in record.raw
    assert record.modified_at.utcoffset() == timedelta(0)
    assert abs(record.modified_at - server.service.clock.now()) < timedelta(seconds=5)
    assert record.url.endswith("/2/people/view/1001")


def test_no_more_is_asked_for_than_the_mapping_needs(connected: Connect) -> None:
    provider, api = connected()
    record = provider.fetch("people", ["1001"], ["firstName"]).records[0]
    assert set(record.raw) == {"id", "created", "updated", "stage", "firstName"}
    assert api.calls == ["GET /people"]


def test_a_path_to_a_field_that_does_not_exist_does_not_stop_the_reading(connected: Connect) -> None:
    provider, _ = connected()
    paths = ["firstName", 'customFields."No Such Field"', "customNothing", "NoSuch[0].value", "", '"']
    record = provider.fetch("people", ["1001"], paths).records[0]
    assert record.fields["customFields"] == {}
    assert record.fields["firstName"] == record.raw["firstName"]


def test_a_custom_field_is_found_by_name_or_by_label_in_any_case(connected: Connect) -> None:
    provider, _ = connected()
    record = provider.fetch("people", ["1005"], ['customFields."COMPANY"', "customCompany"]).records[0]
    assert record.fields["customFields"] == {"COMPANY": record.raw["customCompany"]}
    assert record.fields["customCompany"] == record.raw["customCompany"]


@pytest.mark.parametrize("hours", [0, 7, 24 * 9], ids=["at once", "token too old", "days later"])
def test_every_page_can_be_resumed_by_another_process(server: SandboxServer, connected: Connect, hours: int) -> None:
    provider, _ = connected()
    seen: list[str] = []
    for number, page in enumerate(provider.changes("people", None, PATHS)):
        seen += [record.id for record in page.records]
        if number == 4:
            break
    server.service.clock.advance(hours * 3600)
    kept = json.loads(json.dumps(page.cursor))
    seen += [record.id for record in read_all(connected, kept)]
    assert len(seen) == len(set(seen)) == seed.PEOPLE


def test_a_quiet_account_gives_one_empty_page_with_a_later_cursor(connected: Connect) -> None:
    provider, api = connected()
    *_, last = provider.changes("people", None, PATHS)
    earlier = {"since": "2026-06-01T00:00:00Z"}
    (page,) = provider.changes("people", earlier, PATHS)
    assert page.records == []
    assert set(page.cursor) == set(last.cursor) == {"since"}
    assert page.cursor["since"] > earlier["since"]
    assert api.calls.count("GET /people") == 14


def test_the_next_run_brings_what_changed_since_and_during_the_last_one(
    server: SandboxServer, connected: Connect
) -> None:
    provider, _ = connected()
    pages = provider.changes("people", None, PATHS)
    next(pages)
    change(server, 1001, lastName="Moved")  # already read in this run
    *_, page = pages
    change(server, 1500, stage="Trash")
    records = read_all(connected, dict(page.cursor))
    assert [(record.id, record.inactive) for record in records] == [("1001", False), ("1500", True)]
    assert records[0].fields["lastName"] == "Moved"


@pytest.fixture
def slow_to_start(server: SandboxServer) -> None:
    """Each list begins with a page that holds nothing and leads on."""
    server.service.faults.set([{"kind": "empty_first"}])


@pytest.mark.usefixtures("slow_to_start")
def test_a_page_that_holds_nobody_is_not_taken_for_the_end(server: SandboxServer, connected: Connect) -> None:
    everybody = [str(one["id"]) for one in server.service.store.all("people")]
    provider, _ = connected()
    assert [record.id for record in read_all(connected)] == everybody
    assert [one for page in provider.ids("people") for one in page] == everybody
    active = [one for page in provider.people.pages() for one in page.items]
    assert len(active) == sum(one["stage"] != "Trash" for one in server.service.store.all("people"))
    fetched = provider.fetch("people", [*everybody[:3], "999999"], PATHS)
    assert (sorted(record.id for record in fetched.records), fetched.missing) == (everybody[:3], ("999999",))
    known = next(one for one in server.service.store.all("people") if one["emails"])
    assert provider.people.search([known["emails"][0]["value"]])[0]["id"] == known["id"]


@pytest.mark.usefixtures("slow_to_start")
def test_calls_are_read_past_an_empty_page_too(server: SandboxServer, connected: Connect) -> None:
    url, body = f"{server.url}/v1/calls", {"personId": 1001, "phone": "4155550101", "isIncoming": False}
    for _ in range(3):
        requests.post(url, json=body, auth=(seed.OWNER_KEY, ""), timeout=5).raise_for_status()
    pages = list(connected()[0].changes("calls", None, ()))
    assert sum(len(page.records) for page in pages) == 3
    assert [page.last for page in pages] == [False, True]
    ids = [record.id for page in pages for record in page.records]
    assert len(connected()[0].fetch("calls", ids, ()).records) == 3


def test_a_run_looks_two_minutes_behind_its_cursor(server: SandboxServer, connected: Connect) -> None:
    change(server, 1001, lastName="Late")
    now = server.service.clock.now()
    assert [r.id for r in read_all(connected, {"since": (now + timedelta(seconds=110)).isoformat()})] == ["1001"]
    assert read_all(connected, {"since": (now + timedelta(seconds=130)).isoformat()}) == []


def test_an_agents_key_reads_only_its_own_people(connected: Connect) -> None:
    records = read_all(connected, key=seed.AGENT_KEY)
    assert 200 < len(records) < 400


def test_people_are_fetched_by_the_hundred_and_the_absent_are_named(server: SandboxServer, connected: Connect) -> None:
    url = f"{server.url}/v1/people/1002"
    requests.delete(url, auth=(seed.OWNER_KEY, ""), timeout=5).raise_for_status()
    provider, api = connected()
    ids = [str(number) for number in range(1001, 1251)]
    fetched = provider.fetch("people", [*ids, "1001", "999999", "not-a-number"], PATHS)
    assert len(fetched.records) == 249
    assert fetched.missing == ("1002", "999999", "not-a-number")
    assert api.calls.count("GET /people") == 3
    assert any(record.inactive for record in fetched.records)


def test_nothing_is_asked_when_no_id_could_exist(connected: Connect) -> None:
    provider, api = connected()
    assert provider.fetch("people", ["x"], []).missing == ("x",)
    assert api.calls == []


# --- quotas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "buckets"),
    [
        ("GET", "/v1/people?id=1,2", ("global", "GET.people", "ceiling")),
        ("PUT", "/v1/people/12?mergeTags=true", ("global", "PUT.people", "ceiling")),
        ("POST", "/v1/calls", ("global", "POST.calls", "ceiling")),
        ("PUT", "/v1/notes/3", ("global", "notes", "ceiling")),
        ("GET", "/identity", ("global", "GET.identity", "ceiling")),
    ],
    ids=["read people", "write people", "log call", "notes", "path without base"],
)
def test_a_request_counts_in_the_accounts_and_in_its_own_bucket(
    server: SandboxServer, method: str, path: str, buckets: tuple[str, str, str]
) -> None:
    assert Provider.buckets(method, path) == buckets


def test_headers_tell_of_the_bucket_they_name(server: SandboxServer) -> None:
    headers = Provider.auth_headers(api_key(seed.OWNER_KEY))
    read = requests.get(f"{server.url}/v1/stages", headers=headers, timeout=5)
    assert Provider.rate_hints(read, ("global", "GET.stages")) == [RateHint("global", 250, 10.0, 249)]
    written = requests.put(f"{server.url}/v1/people/1001", json={}, headers=headers, timeout=5)
    assert Provider.rate_hints(written, ("global", "PUT.people")) == [RateHint("PUT.people", 25, 10.0, 24)]
    outside = requests.get(f"{server.url}/nowhere", timeout=5)
    assert Provider.rate_hints(outside, ("global", "GET.nowhere")) == []


def test_a_used_up_quota_is_told_with_the_seconds_to_wait(server: SandboxServer, connected: Connect) -> None:
    provider, api = connected(seed.ADMIN_KEY)
    for _ in range(250):
        api.request("GET", "/identity")
    with pytest.raises(errors.Throttled) as caught:
        api.request("GET", "/identity")
    assert caught.value.after is not None
    assert 0 < caught.value.after <= 10
    server.service.clock.advance(10)
    assert provider.identify().warnings == ()


def test_a_lapsed_account_is_named_as_such(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    provider, _ = connected()
    with pytest.raises(errors.FixConfig, match="lapsed") as caught:
        list(provider.changes("people", None, PATHS))
    assert caught.value.cause == "account_expired"
    assert provider.prepare() == {"warnings": [caught.value.message]}


def test_secrets_do_not_show_in_a_credential() -> None:
    shown = repr(replace(Credential("api_key"), secrets={"api_key": "fka_hidden"}))
    assert "fka_hidden" not in shown
