"""What an account gets from us at onboarding, and what its administrator is told where it gets nothing."""

import pytest

from integrations.providers.hubspot.lookup import ID_PROPERTY
from integrations.providers.hubspot.outcomes import STANDARD, Outcomes
from integrations.providers.hubspot.properties import CONTACT_KEY, OUTBOUND
from integrations.providers.hubspot.provider import Provider
from tests.providers.hubspot.conftest import World, sent

OURS = [definition["name"] for definition in OUTBOUND]
WRITES = ("POST /crm/v3/properties", "PATCH", "PUT", "DELETE")


def writes_of(provider: Provider) -> list[str]:
    return [request for request in sent(provider) if request.startswith(WRITES)]


def test_the_default_outbound_properties_are_added_once(world: World) -> None:
    first = world.connect()
    assert first.prepare()["warnings"] == []
    held = world.portal.definitions("contacts")
    assert OURS[:3] == ["last_call_date", "num_calls", "ai_call_score"]
    assert [(held[name]["groupName"], held[name]["hasUniqueValue"]) for name in OURS] == [("dialer", False)] * 5
    again = world.connect()
    again.prepare()
    assert writes_of(again) == []
    fields = {field.path: field for field in again.describe("contacts")}
    assert all(fields[name].writable and fields[name].custom for name in OURS)


@pytest.mark.parametrize(("kind", "name"), [("calls", ID_PROPERTY), ("contacts", CONTACT_KEY)])
def test_each_object_gets_a_unique_property_for_our_key(world: World, kind: str, name: str) -> None:
    found = world.connect().prepare()
    assert world.portal.definitions(kind)[name]["hasUniqueValue"] is True
    assert (found["call_upsert"], found["contact_upsert"]) == (True, True)


@pytest.mark.parametrize(
    ("fault", "switched"), [("no_unique_calls", "call_upsert"), ("no_unique_contacts", "contact_upsert")]
)
def test_an_account_without_room_for_a_key_is_told(world: World, fault: str, switched: str) -> None:
    world.fault(fault)
    found = world.connect().prepare()
    assert {name for name in ("call_upsert", "contact_upsert") if not found[name]} == {switched}
    (warning,) = found["warnings"]
    assert "does not let us add the property" in warning


def test_a_property_that_somebody_else_just_made_is_taken_as_it_is(world: World) -> None:
    """409: another worker was faster between our look and our creation."""
    world.connect().prepare()
    body = {"category": "OBJECT_NOT_FOUND", "message": "Property does not exist"}
    world.fault("status", status=404, body=body, match=f"GET .*/properties/contacts/{CONTACT_KEY}")
    found = world.connect().prepare()
    assert (found["contact_upsert"], found["warnings"]) == (True, [])


def test_a_tenant_who_lets_nobody_create_anything_is_told_what_to_click(world: World) -> None:
    provider = world.checking()
    found = provider.prepare()
    assert writes_of(provider) == []
    assert (found["call_upsert"], found["contact_upsert"]) == (False, False)
    told = " ".join(found["warnings"])
    assert all(name in told for name in (ID_PROPERTY, CONTACT_KEY, *OURS))
    assert "Require unique values" in told
    assert "Settings > Data Management > Properties > Contact properties" in told


def test_what_an_administrator_made_by_hand_is_used(world: World) -> None:
    world.connect().prepare()
    found = world.checking().prepare()
    assert (found["call_upsert"], found["contact_upsert"], found["warnings"]) == (True, True, [])


def test_a_token_without_the_right_to_add_properties_works_without(limited: Provider) -> None:
    found = limited.prepare()
    assert (found["call_upsert"], found["contact_upsert"]) == (False, False)
    assert len(found["warnings"]) == 5
    assert all("crm.schemas.contacts.write" in warning for warning in found["warnings"])


# --- outcomes -------------------------------------------------------------------------------------------------------


def test_the_outcomes_come_from_the_older_list_where_the_property_tells_none(world: World) -> None:
    world.fault("status", status=404, body={"message": "no such property"}, match="hs_call_disposition")
    provider = world.connect()
    assert Outcomes(provider.api, provider.connection).guid("Meeting booked") == "0b8f6f4e-6c0e-4a3f-9a51-6d2c5c1f7a10"
    assert sent(provider)[-1] == "GET /calling/v1/dispositions"


def test_without_either_list_the_outcomes_of_every_portal_are_used(world: World) -> None:
    body = {"message": "gone"}
    world.portal.faults.set([{"kind": "status", "status": 404, "body": body, "match": "dispositions?"}])
    provider = world.connect()
    outcomes = Outcomes(provider.api, provider.connection)
    assert outcomes.guid("Left voicemail") == STANDARD["left-voicemail"]
    assert outcomes.guid("Meeting booked") == ""


def test_what_outcomes_there_are_is_asked_once_for_many_slices_of_work_and_again_for_an_unknown_word(
    world: World,
) -> None:
    provider = world.connect()
    for _ in range(3):
        assert Outcomes(provider.api, provider.connection).guid("connected") == STANDARD["connected"]
    assert len([one for one in sent(provider) if "hs_call_disposition" in one]) == 1
    Outcomes(provider.api, provider.connection).guid("Made up this morning")
    assert len([one for one in sent(provider) if "hs_call_disposition" in one]) == 2
