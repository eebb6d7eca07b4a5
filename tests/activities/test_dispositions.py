"""How dispositions stand in the CRMs, and the warning when a CRM has a mapped value no more."""

from typing import Any

import pytest

from activities import advice, matrix
from integrations.models import CrmConnection, Tenant
from integrations.registry import provider_class
from sync import health
from tests import factories

pytestmark = pytest.mark.usefixtures("everyone")

OUTCOMES = [["talked", "Talked"], ["missed", "Missed"]]


def picklist(connection: CrmConnection, options: Any = None, **fields: Any) -> Any:
    known = {"object_type": "calls", "kind": "picklist", "options": options or OUTCOMES}
    return factories.crm_field(connection, "outcome", **{**known, **fields})


def states(tenant: Tenant) -> dict[str, list[str]]:
    return {line.disposition: [cell.state for cell in line.cells] for line in matrix.lines(tenant.pk)}


def test_the_matrix_knows_what_is_mapped_usual_unmapped_and_lost(tenant: Tenant, connection: CrmConnection) -> None:
    picklist(connection)
    factories.disposition(tenant, "No Answer", crm_provider="fakecrm", values={"outcome": "missed"})
    factories.disposition(tenant, "Voicemail", crm_provider="fakecrm", values={"outcome": "voicemail"})
    factories.call(tenant, disposition="Callback")
    factories.call(tenant, disposition="no  answer")
    assert states(tenant) == {
        "Callback": ["unmapped"],
        "no  answer": ["mapped"],
        "Connected": ["default"],
        "Voicemail": ["lost"],
    }


def test_the_matrix_counts_calls_however_their_disposition_is_written(
    tenant: Tenant, connection: CrmConnection
) -> None:
    for name in ("Callback", "callback ", "CALLBACK", "Callback", "Connected"):
        factories.call(tenant, disposition=name)
    assert [(one.disposition, one.calls) for one in matrix.lines(tenant.pk)] == [("Callback", 4), ("Connected", 1)]


def test_a_field_that_is_gone_loses_what_is_mapped_to_it(tenant: Tenant, connection: CrmConnection) -> None:
    picklist(connection, missing_since=factories.now())
    assert states(tenant) == {"Connected": ["lost"]}


def test_before_anything_was_discovered_nothing_is_lost(tenant: Tenant, connection: CrmConnection) -> None:
    assert states(tenant) == {"Connected": ["default"]}


def test_health_names_the_value_until_the_crm_or_the_map_is_mended(tenant: Tenant, connection: CrmConnection) -> None:
    factories.cursor(connection)
    field = picklist(connection)
    advice.refresh_all()
    assert health.cards()[0].level == "good"
    field.options = [["spoke", "Spoke"]]
    field.save()
    advice.refresh_all()
    (card,) = health.cards()
    words = "Fake CRM has no “talked” in outcome any more, which “Connected” is mapped to"
    assert (card.level, card.headline) == ("warning", words)
    assert card.notices[0].url.endswith(f"/dispositionmap/coverage/?tenant={tenant.pk}")
    factories.disposition(tenant, "connected", crm_provider="fakecrm", values={"outcome": "spoke"})
    advice.refresh_tenants([tenant.pk])
    assert health.cards()[0].level == "good"


def test_the_warning_comes_with_the_reading_of_the_fields(connection: CrmConnection) -> None:
    picklist(connection, [["spoke", "Spoke"]])
    factories.crm_object(connection, "calls").save()
    connection.refresh_from_db()
    assert connection.metadata[advice.KEY] == {"dispositions": [["Connected", "outcome", "talked"]]}


def test_another_tenants_picklists_and_maps_mean_nothing_here(
    tenant: Tenant, connection: CrmConnection, stranger: Tenant
) -> None:
    picklist(factories.connection(stranger, "fakecrm"), [["spoke", "Spoke"]])
    picklist(connection)
    factories.disposition(stranger, "Connected", crm_provider="fakecrm", values={"outcome": "spoke"})
    assert matrix.broken([connection]) == []


@pytest.mark.parametrize(
    ("slug", "path", "value", "choices", "chosen"),
    [
        ("hubspot", "hs_call_disposition", "left-voicemail", [("g-1", "Left voicemail")], "g-1"),
        ("hubspot", "hs_call_disposition", "G-1", [("g-1", "Left voicemail")], "g-1"),
        ("hubspot", "hs_call_disposition", "busy", [("9d9162e7-6cf3-4944-bf63-4dff82258764", "Besetzt")],
         "9d9162e7-6cf3-4944-bf63-4dff82258764"),
        ("hubspot", "hs_call_disposition", "left-voicemail", [("g-1", "Connected")], None),
        ("hubspot", "hs_call_status", "COMPLETED", [("COMPLETED", "Completed")], "COMPLETED"),
        ("followupboss", "outcome", "Left Voicemail", [("Left Message", "Left Message")], "Left Message"),
        ("followupboss", "outcome", "Connected", [("Left Message", "Left Message")], ""),
        ("followupboss", "outcome", "Elsewhere", [("Left Message", "Left Message")], None),
        ("salesforce", "Status", "Completed", [("Completed", "Erledigt")], "Completed"),
        ("salesforce", "Status", "Completed", [("Erledigt", "Completed")], None),
    ],
)  # fmt: skip
def test_each_crm_reads_a_mapped_value_in_its_own_way(
    slug: str, path: str, value: str, choices: Any, chosen: str | None
) -> None:
    assert provider_class(slug).call_choice(path, value, choices) == chosen
