"""Where the endpoints are, in the classic version and in the dated ones."""

from pathlib import Path
from string import Formatter

import pytest
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.endpoints import ENDPOINTS, FAMILIES, path, version
from integrations.providers.hubspot.provider import Provider
from tests.providers.hubspot.conftest import World

CONTACT = {"type": "contacts", "id": "5"}
LINK = {"type": "calls", "id": "5", "to_type": "contacts"}
APP = {"app": "9001"}
COLUMNS = [
    ("objects", {"type": "contacts"}, "/crm/v3/objects/contacts", "objects=2026-09", "/crm/objects/2026-09/contacts"),
    (
        "batch",
        {"type": "deals", "action": "read"},
        "/crm/v3/objects/deals/batch/read",
        "objects=2026-03",
        "/crm/objects/2026-03/deals/batch/read",
    ),
    (
        "search",
        {"type": "deals"},
        "/crm/v3/objects/deals/search",
        "objects=2027-03",
        "/crm/objects/2027-03/deals/search",
    ),
    (
        "properties",
        {"type": "calls"},
        "/crm/v3/properties/calls",
        "properties=2026-09",
        "/crm/properties/2026-09/calls",
    ),
    ("owners", {}, "/crm/v3/owners", "owners=2026-09", "/crm/owners/2026-09"),
    (
        "associations",
        LINK,
        "/crm/v4/objects/calls/5/associations/contacts",
        "associations=2026-09",
        "/crm/objects/2026-09/calls/5/associations/contacts",
    ),
    (
        "associate_batch",
        LINK,
        "/crm/v4/associations/calls/contacts/batch/associate/default",
        "associations=2026-09",
        "/crm/associations/2026-09/calls/contacts/batch/associate/default",
    ),
    ("token", {}, "/oauth/v1/token", "token=v3", "/oauth/v3/token"),
    ("token", {}, "/oauth/v1/token", "token=2026-09", "/oauth/2026-09/token"),
    ("webhook_settings", APP, "/webhooks/v3/9001/settings", "webhooks=2026-03", "/webhooks/2026-03/9001/settings"),
    ("webhook_settings", APP, "/webhooks/v3/9001/settings", "webhooks=2026-09", "/app-webhooks/2026-09/9001/settings"),
    (
        "webhook_subscriptions",
        APP,
        "/webhooks/v3/9001/subscriptions",
        "webhooks=2026-09",
        "/app-webhooks/2026-09/9001/subscriptions",
    ),
    ("custom_event", {}, "/events/v3/send", "events=2026-09", "/events/custom/2026-09/send"),
    ("custom_events", {}, "/events/v3/send/batch", "events=2026-09", "/events/custom/2026-09/send/batch"),
    (
        "timeline_event",
        {},
        "/integrators/timeline/v3/events",
        "timeline=2026-03",
        "/integrators/timeline/2026-03/events",
    ),
    ("timeline_event", {}, "/integrators/timeline/v3/events", "timeline=crm-v3", "/crm/v3/timeline/events"),
]
IDS = [f"{name}, {choice}" for name, _, _, choice, _ in COLUMNS]


@pytest.mark.parametrize(("name", "parts", "classic", "choice", "dated"), COLUMNS, ids=IDS)
def test_each_family_moves_by_itself(
    settings: Settings, name: str, parts: dict[str, str], classic: str, choice: str, dated: str
) -> None:
    settings.HUBSPOT_API_VERSIONS = []
    assert path(name, **parts) == classic
    settings.HUBSPOT_API_VERSIONS = [choice]
    assert path(name, **parts) == dated
    others = [f"{family}={next(iter(known))}" for family, known in FAMILIES.items() if not choice.startswith(family)]
    settings.HUBSPOT_API_VERSIONS = others
    assert path(name, **parts) == classic


def test_the_first_version_of_a_family_is_the_default(settings: Settings) -> None:
    settings.HUBSPOT_API_VERSIONS = ["token=v3"]
    assert version("token") == "v3"
    assert version("objects") == "v3"
    settings.HUBSPOT_API_VERSIONS = []
    assert version("token") == "v1"
    assert version("associations") == "v4"


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("tokens=v3", "The families are: objects,"),
        ("objects=2025-09", "The versions of objects are: v3, 2026-03,"),
        ("objects", "The versions of objects are"),
        ("=v3", "The families are"),
    ],
)
def test_a_version_that_does_not_exist_stops_the_first_request_with_a_sentence(
    world: World, settings: Settings, choice: str, told: str
) -> None:
    provider = world.connect()
    settings.HUBSPOT_API_VERSIONS = [choice]
    with pytest.raises(errors.FixConfig, match=told) as refusal:
        provider.identify()
    assert "HUBSPOT_API_VERSIONS" in refusal.value.message


def test_ids_cannot_leave_their_place_in_a_path() -> None:
    assert (
        path("property", type="contacts", name="../../x?y=1#z") == "/crm/v3/properties/contacts/..%2F..%2Fx%3Fy%3D1%23z"
    )


def parts_of(template: str) -> dict[str, str]:
    return {name: "x" for _, name, _, _ in Formatter().parse(template) if name}


def test_every_classic_path_of_a_family_can_move(settings: Settings) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"{family}={list(known)[-1]}" for family, known in FAMILIES.items()]
    stay = {
        name
        for name, classic in ENDPOINTS.items()
        if path(name, **parts_of(classic)) == classic.format(**parts_of(classic))
    }
    assert "objects" not in stay
    assert all(ENDPOINTS[name].startswith(("/account-info/", "/calling/")) for name in stay), stay


@pytest.mark.parametrize("date", ["2026-03", "2026-09"])
def test_people_are_read_and_calls_prepared_on_dated_paths(world: World, settings: Settings, date: str) -> None:
    families = ("objects", "properties", "owners", "associations")
    settings.HUBSPOT_API_VERSIONS = [f"{family}={date}" for family in families]
    provider = world.connect()
    page = next(iter(provider.changes("contacts", None, ["email", "hubspot_owner_id"])))
    assert len(page.records) == 100
    assert provider.prepare()["call_upsert"] is True
    assert isinstance(provider, Provider)


def test_no_path_of_hubspots_is_written_anywhere_else() -> None:
    folder = Path(__file__).parents[3] / "integrations" / "providers" / "hubspot"
    strays = [
        f"{file.name}: {line.strip()}"
        for file in folder.glob("*.py")
        if file.name != "endpoints.py"
        for line in file.read_text().splitlines()
        if any(f'"/{start}/' in line for start in ("crm", "oauth", "webhooks", "events", "integrators", "calling"))
    ]
    assert strays == []
